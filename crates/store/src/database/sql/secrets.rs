//! Statements over the tables of [`SecretStore`](crate::SecretStore).

statements! {
    SECRET_GET = "SELECT doc FROM secrets WHERE lane = $1 AND name = $2";
    SECRET_WRITE = "INSERT INTO secrets (lane, name, doc) VALUES ($1, $2, $3) \
        ON CONFLICT (lane, name) DO UPDATE SET doc = excluded.doc";
    SECRET_DELETE = "DELETE FROM secrets WHERE lane = $1 AND name = $2";
    SECRETS = "SELECT doc FROM secrets ORDER BY lane, name";
    SECRETS_LANE = "SELECT doc FROM secrets WHERE lane = $1 ORDER BY name";

    REAUTH_GET = "SELECT doc FROM reauths WHERE lane = $1 AND source_id = $2";
    REAUTH_WRITE = "INSERT INTO reauths (lane, source_id, doc) VALUES ($1, $2, $3) \
        ON CONFLICT (lane, source_id) DO UPDATE SET doc = excluded.doc";
}
