//! Statements over the tables of [`PrincipalStore`](crate::PrincipalStore).

statements! {
    /// To be replaced.
    COUNT = "SELECT COUNT(*) FROM principals";
}
