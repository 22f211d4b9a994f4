//! Statements over the tables of [`ArtifactStore`](crate::ArtifactStore).

statements! {
    /// To be replaced.
    COUNT = "SELECT COUNT(*) FROM artifacts";
}
