//! Statements over the tables of [`AlertStore`](crate::AlertStore).

statements! {
    /// To be replaced.
    COUNT = "SELECT COUNT(*) FROM alerts";
}
