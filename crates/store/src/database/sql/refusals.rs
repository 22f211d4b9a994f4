//! Statements over the tables of [`RefusalStore`](crate::RefusalStore).

statements! {
    /// To be replaced.
    COUNT = "SELECT COUNT(*) FROM refusals";
}
