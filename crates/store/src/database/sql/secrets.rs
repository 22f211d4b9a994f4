//! Statements over the tables of [`SecretStore`](crate::SecretStore).

statements! {
    /// To be replaced.
    COUNT = "SELECT COUNT(*) FROM secrets";
}
