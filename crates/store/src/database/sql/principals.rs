//! Statements over the tables of [`PrincipalStore`](crate::PrincipalStore).

statements! {
    /// All, by id.
    LIST = "SELECT doc FROM principals ORDER BY id";
    /// One. Arguments: id.
    GET = "SELECT doc FROM principals WHERE id = $1";
    /// Makes or replaces one. Arguments: id, document.
    WRITE = "INSERT INTO principals (id, doc) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET doc = excluded.doc";
}
