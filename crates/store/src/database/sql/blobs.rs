//! Statements about content.

statements! {
    BLOB_GET = "SELECT content, size, parts FROM blobs WHERE name = $1";
    BLOB_INSERT = "INSERT INTO blobs (name, content, size, parts, expires_at) VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (name) DO NOTHING";
    BLOBS_EXPIRED = "SELECT name FROM blobs WHERE expires_at IS NOT NULL AND expires_at <= $1 \
        ORDER BY expires_at LIMIT $2";
    BLOB_DELETE = "DELETE FROM blobs WHERE name = $1";
    BLOB_OF_CONTENT = "SELECT name FROM blobs WHERE content = $1 LIMIT 1";
    BLOB_PART_INSERT = "INSERT INTO blob_parts (content, part, data) VALUES ($1, $2, $3) \
        ON CONFLICT (content, part) DO NOTHING";
    BLOB_PART_GET = "SELECT data FROM blob_parts WHERE content = $1 AND part = $2";
    BLOB_PARTS_COUNT = "SELECT COUNT(*) FROM blob_parts WHERE content = $1";
    BLOB_PARTS_DELETE = "DELETE FROM blob_parts WHERE content = $1";
}
