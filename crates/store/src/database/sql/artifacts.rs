//! Statements over the tables of [`ArtifactStore`](crate::ArtifactStore).

macro_rules! artifacts_where {
    ($condition:literal, $limit:literal) => {
        concat!(
            "SELECT doc FROM artifacts WHERE id < $1",
            $condition,
            " ORDER BY id DESC LIMIT ",
            $limit
        )
    };
}

statements! {
    ARTIFACT_INSERT = "INSERT INTO artifacts (id, job_id, content, state, doc) \
        VALUES ($1, $2, $3, $4, $5)";
    ARTIFACT_UPDATE = "UPDATE artifacts SET state = $1, doc = $2 WHERE id = $3";
    ARTIFACT_GET = "SELECT doc FROM artifacts WHERE id = $1";
    ARTIFACT_FIND = "SELECT id FROM artifacts WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 2";
    ARTIFACTS = artifacts_where!("", "$2");
    ARTIFACTS_JOB = artifacts_where!(" AND job_id = $2", "$3");
    ARTIFACTS_STATE = artifacts_where!(" AND state = $2", "$3");
    ARTIFACTS_CONTENT = artifacts_where!(" AND content = $2", "$3");
    ARTIFACTS_JOB_STATE = artifacts_where!(" AND job_id = $2 AND state = $3", "$4");
    ARTIFACTS_JOB_CONTENT = artifacts_where!(" AND job_id = $2 AND content = $3", "$4");
    ARTIFACTS_STATE_CONTENT = artifacts_where!(" AND state = $2 AND content = $3", "$4");
    ARTIFACTS_JOB_STATE_CONTENT =
        artifacts_where!(" AND job_id = $2 AND state = $3 AND content = $4", "$5");

    PROMOTION_INSERT = "INSERT INTO promotions (id, lane, job_id, content, doc) \
        VALUES ($1, $2, $3, $4, $5)";
    LIVE_WRITE = "INSERT INTO live (lane, job_id, promotion) VALUES ($1, $2, $3) \
        ON CONFLICT (lane, job_id) DO UPDATE SET promotion = excluded.promotion";
    LIVE_GET = "SELECT promotions.doc FROM live \
        JOIN promotions ON promotions.id = live.promotion \
        WHERE live.lane = $1 AND live.job_id = $2";
    LIVE_LIST = "SELECT promotions.doc FROM live \
        JOIN promotions ON promotions.id = live.promotion \
        ORDER BY live.lane, live.job_id";
    PROMOTIONS_JOB = "SELECT doc FROM promotions WHERE job_id = $1 ORDER BY id";
    PROMOTIONS_LANE = "SELECT doc FROM promotions WHERE lane = $1 AND job_id = $2 ORDER BY id";

    /// What is known about the gates of a content in a lane, oldest first.
    GATE_EVIDENCE = "SELECT doc FROM evidence \
        WHERE lane = $1 AND job_id = $2 AND artifact = $3 ORDER BY id";
}
