//! Statements over the tables of [`ScheduleStore`](crate::ScheduleStore).

statements! {
    /// To be replaced.
    COUNT = "SELECT COUNT(*) FROM schedules";
}
