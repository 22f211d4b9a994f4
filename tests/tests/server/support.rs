//! What the tests of the server share: a plain HTTP caller with a token, and waiting.

use std::time::Duration;

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

/// How long anything that must come is waited for: far more than it takes, on a busy machine too.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Someone who calls a server: an address and, usually, a token.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    client: Client,
    base: String,
    token: Option<String>,
}

impl Api {
    /// Calls the server at `base` with this token.
    pub(crate) fn new(base: &str, token: Option<&str>) -> Self {
        let client = Client::builder().timeout(PATIENCE).no_proxy();
        Self::through(client.build().unwrap(), base, token)
    }

    /// As [`Api::new`], with a client of one's own.
    pub(crate) fn through(client: Client, base: &str, token: Option<&str>) -> Self {
        Self {
            client,
            base: base.trim_end_matches('/').to_owned(),
            token: token.map(str::to_owned),
        }
    }

    /// The same, with connections of its own.
    pub(crate) fn again(&self) -> Self {
        Self::new(&self.base, self.token.as_deref())
    }

    /// The same, at another server.
    pub(crate) fn at(&self, base: &str) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
            ..self.clone()
        }
    }

    /// A request to be completed.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Reads.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.request(Method::GET, path).send().await.unwrap()).await
    }

    /// Sends a document.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.request(Method::POST, path).json(body);
        answer(request.send().await.unwrap()).await
    }

    /// Sends a document under an idempotency key; the error when no answer came.
    pub(crate) async fn post_once(
        &self,
        path: &str,
        key: &str,
        body: &Value,
    ) -> Result<(u16, Value), reqwest::Error> {
        let request = self.request(Method::POST, path).json(body);
        let response = request.header("idempotency-key", key).send().await?;
        let status = response.status().as_u16();
        Ok((status, response.json().await.unwrap_or_default()))
    }

    /// Reads until what is there satisfies the condition.
    ///
    /// # Panics
    /// When it does not within [`PATIENCE`].
    pub(crate) async fn until(
        &self,
        path: &str,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let (status, seen) = self.get(path).await;
            if status == 200 && holds(&seen) {
                return seen;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "waited for {what} at {path}, and saw {status} {seen:#}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await; // L77: between two looks
        }
    }
}

async fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    (status, body)
}

/// The archive of a job directory whose one step is a script, without network.
pub(crate) fn packed(job_id: &str, script: &str) -> Vec<u8> {
    packed_spec(&json!({"job_id": job_id, "steps": [
        {"name": "main", "argv": ["/bin/sh", "-c", script], "egress": "none"}
    ]}))
}

/// The archive of a job directory that holds nothing but its spec.
pub(crate) fn packed_spec(spec: &Value) -> Vec<u8> {
    packed_files(&[("job_spec.json", &spec.to_string())])
}

/// The archive of a directory: of its files, the paths and the texts.
pub(crate) fn packed_files(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, path, text.as_bytes())
            .unwrap();
    }
    archive.into_inner().unwrap()
}

/// Sends an archive: how requests name it.
pub(crate) async fn uploaded(api: &Api, archive: Vec<u8>) -> String {
    let request = api.request(Method::POST, "/v1/uploads");
    let request = request.header("content-type", "application/x-tar");
    let answer = request.body(archive).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let answer: Value = answer.json().await.unwrap();
    answer["upload"].as_str().unwrap().to_owned()
}
