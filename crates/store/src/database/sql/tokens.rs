//! Statements over the table of [`TokenStore`](crate::TokenStore).

statements! {
    /// Makes one. Arguments: id, kind, parent, end, document.
    TOKEN_INSERT = "INSERT INTO tokens (id, kind, parent, expires_at, doc) \
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING";
    /// Replaces its document. Arguments: document, id.
    TOKEN_UPDATE = "UPDATE tokens SET doc = $1 WHERE id = $2";
    /// One. Arguments: id.
    TOKEN_GET = "SELECT doc FROM tokens WHERE id = $1";
    /// Ids in a range. Arguments: from, to.
    TOKEN_FIND = "SELECT id FROM tokens WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 2";
    /// All, newest first. Arguments: limit.
    TOKENS = "SELECT doc FROM tokens ORDER BY id DESC LIMIT $1";
    /// Of one kind, newest first. Arguments: kind, limit.
    TOKENS_KIND = "SELECT doc FROM tokens WHERE kind = $1 ORDER BY id DESC LIMIT $2";
    /// Sessions of a token. Arguments: its id.
    TOKENS_PARENT = "SELECT doc FROM tokens WHERE parent = $1";
    /// Removes sessions and links that ended before a time. Arguments: the time.
    TOKENS_EXPIRE = "DELETE FROM tokens WHERE kind <> 'api' AND expires_at < $1";
}
