//! Statements over the tables of [`EmergencyStore`](crate::EmergencyStore).

statements! {
    /// To be replaced.
    COUNT = "SELECT COUNT(*) FROM emergencies";
}
