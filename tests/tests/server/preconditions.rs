//! `If-Match`: a change is one of the version that was seen, also when many send theirs at once.

use futures::future::join_all;
use moorline_testkit::moorlined::Server;
use reqwest::Method;
use serde_json::json;

use super::support::Api;

/// Eight people saw the same record of a ninth, and each gives another reason to change it.
#[tokio::test]
async fn of_many_changes_at_once_that_saw_the_same_one_is_made() {
    let server = Server::start().unwrap();
    let token = server.token("ada", ["--principal", "human:ada"]).unwrap();
    let api = Api::new(server.url(), Some(&token));
    let path = "/v1/principals/human:bob";
    for role in ["viewer", "operator", "approver"] {
        let seen = api.request(Method::GET, path).send().await.unwrap();
        let etag = seen.headers()["etag"].to_str().unwrap().to_owned();
        let changes = (0..8).map(|number| {
            let change = api.request(Method::PUT, path).header("if-match", &etag);
            let body = json!({"role": role, "reason": format!("number {number}")});
            change.json(&body).send()
        });
        let mut answers: Vec<u16> = join_all(changes)
            .await
            .into_iter()
            .map(|answer| answer.unwrap().status().as_u16())
            .collect();
        answers.sort_unstable();
        assert_eq!(answers, [200, 412, 412, 412, 412, 412, 412, 412], "{role}");
    }
    let (_, records) = api.get("/v1/audit?operation=principal.set").await;
    assert_eq!(records.as_array().unwrap().len(), 3, "{records:#}");
}
