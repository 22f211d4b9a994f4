//! Our own client calls what the official one deployed.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use moorline_modal_client::apps::{LogFilter, LogRange};
use moorline_modal_client::functions::{Args, Function, FunctionCall, MapOptions, Parameter};
use moorline_modal_client::images::{BuildEvent, BuildOptions, ImageDefinition};
use moorline_modal_client::{Client, Config, ErrorKind, Existence};
use serde_json::{Value, json};

use crate::support::{Emu, scenarios};

const APP: &str = "for-rust";

/// An emulator with the app, and our client.
fn deployed() -> (Emu, Client) {
    let emu = Emu::start();
    let script = scenarios().join("client/app.py");
    emu.modal(&["deploy", script.to_str().unwrap()]);
    let client = client(&emu);
    (emu, client)
}

fn client(emu: &Emu) -> Client {
    Client::new(Config::from_env(emu.emulator().environment()).unwrap()).unwrap()
}

async fn function(client: &Client, name: &str) -> Function {
    client.functions().lookup(APP, name, None).await.unwrap()
}

#[test]
fn functions_are_called_with_results_exceptions_and_large_payloads() {
    let (emu, client) = deployed();
    emu.block_on(async {
        let square = function(&client, "square").await;
        assert_eq!(square.call::<i64>((7,)).await.unwrap(), 49);
        let greet = function(&client, "greet").await;
        let args = Args::new().arg("Ada").kwarg("greeting", "good day");
        let answer: Value = greet.call(args).await.unwrap();
        assert_eq!(answer, json!({"text": "good day Ada", "length": 3}));
        function(&client, "nothing")
            .await
            .call::<()>(())
            .await
            .unwrap();

        let error = function(&client, "fail")
            .await
            .call::<()>(("no luck",))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Remote);
        assert!(
            error.remote().unwrap().exception.contains("no luck"),
            "{error:?}"
        );
        let error = function(&client, "too_slow")
            .await
            .call::<()>(())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);

        // 3 MB each way go through blobs.
        let text = "moorline".repeat(400_000);
        let doubled: String = function(&client, "double")
            .await
            .call((&text,))
            .await
            .unwrap();
        assert_eq!(doubled.len(), 2 * text.len());
        assert!(emu.effects("blob.create").len() >= 2);

        let error = client
            .functions()
            .lookup(APP, "absent", None)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = function(&client, "count")
            .await
            .call::<i64>((1,))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    });
    emu.stop();
}

#[test]
fn a_started_call_is_awaited_elsewhere_and_cancelled() {
    let (emu, client) = deployed();
    emu.block_on(async {
        let slow = function(&client, "slow").await;
        let call = slow.spawn((0.2,)).await.unwrap();
        let elsewhere: FunctionCall = self::client(&emu).functions().call_from_id(call.id());
        let long = Some(Duration::from_secs(30));
        assert_eq!(elsewhere.get::<String>(long).await.unwrap(), "done");
        assert_eq!(call.get::<String>(long).await.unwrap(), "done");

        let call = slow.spawn((60,)).await.unwrap();
        let error = call.get::<String>(Some(Duration::ZERO)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        call.cancel(false).await.unwrap();
        let error = call.get::<String>(long).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}");
    });
    emu.stop();
}

#[test]
fn a_failed_input_is_sent_again_by_the_policy_of_its_deployment() {
    let (emu, client) = deployed();
    emu.block_on(async {
        let third_time = function(&client, "third_time").await;
        assert_eq!(third_time.call::<i64>(("call",)).await.unwrap(), 3);
        assert_eq!(emu.effects("input.retry").len(), 2);
        let inputs = futures::stream::iter([("a",), ("b",)]);
        let outputs: Vec<_> = third_time
            .map::<i64, _, _>(inputs, MapOptions::new())
            .try_collect()
            .await
            .unwrap();
        let values: Vec<_> = outputs
            .into_iter()
            .map(|output| output.result.unwrap())
            .collect();
        assert_eq!(values, [3, 3]);
        assert_eq!(emu.effects("input.retry").len(), 6);
    });
    emu.stop();
}

#[test]
fn a_map_gives_each_input_one_output_also_under_faults() {
    let (emu, client) = deployed();
    emu.block_on(async {
        let square = function(&client, "square").await;
        emu.faults(
            r#"[{"rpc": "FunctionPutInputs", "nth": 2, "kind": "fail_after", "code": 14},
                {"rpc": "FunctionGetOutputs", "nth": 2, "times": 2, "kind": "fail_after", "code": 13},
                {"rpc": "FunctionPutInputs", "nth": 5, "kind": "throttle", "retry_after_secs": 0.1},
                {"rpc": "FunctionGetOutputs", "nth": 7, "kind": "reset"}]"#,
        );
        let inputs = futures::stream::iter((0..300i64).map(|n| (n,)));
        let outputs: Vec<_> =
            square.map::<i64, _, _>(inputs, MapOptions::new()).try_collect().await.unwrap();
        let values: Vec<_> = outputs.into_iter().map(|output| output.result.unwrap()).collect();
        assert_eq!(values, (0..300i64).map(|n| n * n).collect::<Vec<_>>());
        assert_eq!(emu.effects("input.accept").len(), 300);

        let fail = function(&client, "fail").await;
        let inputs = futures::stream::iter(["x", "y"].map(|text| (text,)));
        let options = MapOptions::new().unordered().max_outstanding(1);
        let outputs: Vec<_> = fail.map::<(), _, _>(inputs, options).try_collect().await.unwrap();
        let kinds: Vec<_> =
            outputs.iter().map(|output| output.result.as_ref().unwrap_err().kind()).collect();
        assert_eq!(kinds, [ErrorKind::Remote; 2]);
    });
    emu.stop();
}

#[test]
fn a_generator_gives_its_items_once_and_then_its_failure() {
    let (emu, client) = deployed();
    emu.block_on(async {
        let count = function(&client, "count").await;
        emu.faults(
            r#"[{"rpc": "FunctionCallGetDataOut", "kind": "reset", "after": 3, "times": 2}]"#,
        );
        let items: Vec<Value> = count
            .call_generator::<Value, _>((20,))
            .try_collect()
            .await
            .unwrap();
        assert_eq!(items, (0..20).map(|i| json!({"i": i})).collect::<Vec<_>>());
        let none: Vec<Value> = count
            .call_generator::<Value, _>((0,))
            .try_collect()
            .await
            .unwrap();
        assert!(none.is_empty());

        let failing = function(&client, "count_then_fail").await;
        let items: Vec<_> = failing.call_generator::<i64, _>((2,)).collect().await;
        let error = items.last().unwrap().as_ref().unwrap_err();
        assert!(
            error
                .remote()
                .unwrap()
                .exception
                .contains("after the items"),
            "{error:?}"
        );
    });
    emu.stop();
}

#[test]
fn a_class_is_bound_to_parameters() {
    let (emu, client) = deployed();
    emu.block_on(async {
        let class = client
            .functions()
            .lookup_class(APP, "Scaler", None)
            .await
            .unwrap();
        assert_eq!(class.methods().collect::<Vec<_>>(), ["scale", "steps"]);
        let three = class.instance([("factor", 3)]).await.unwrap();
        let labelled: [(&str, Parameter); 2] = [("factor", 5.into()), ("label", "y".into())];
        let five = class.instance(labelled).await.unwrap();
        let scaled: Value = three.method("scale").unwrap().call((7,)).await.unwrap();
        assert_eq!(scaled, json!(["x", 21]));
        let scaled: Value = five.method("scale").unwrap().call((7,)).await.unwrap();
        assert_eq!(scaled, json!(["y", 35]));
        let steps = three.method("steps").unwrap();
        let steps: Vec<i64> = steps
            .call_generator::<i64, _>((3,))
            .try_collect()
            .await
            .unwrap();
        assert_eq!(steps, [0, 3, 6]);
        let error = class.instance([("label", "x")]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(
            three.method("absent").unwrap_err().kind(),
            ErrorKind::NotFound
        );
    });
    emu.stop();
}

#[test]
fn a_web_endpoint_opens_for_its_token_alone() {
    let (emu, client) = deployed();
    emu.block_on(async {
        let hello = function(&client, "hello").await;
        let token = client.proxy_tokens().create("t", false).await.unwrap();
        let endpoint = hello.web_endpoint(Some(&token)).unwrap();
        let request = endpoint.request(http::Method::GET, "?name=Ada").unwrap();
        let body = endpoint.send(request).await.unwrap().text().await.unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&body).unwrap(),
            json!({"hello": "Ada"})
        );
        let closed = hello.web_endpoint(None).unwrap();
        let error = closed
            .send(closed.request(http::Method::GET, "").unwrap())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    });
    emu.stop();
}

#[test]
fn logs_are_followed_and_fetched_without_gap_or_repeat() {
    let (emu, client) = deployed();
    emu.block_on(async {
        let app = client.apps().get_deployed(APP, None).await.unwrap();
        let expected: Vec<_> = (0..200).map(|i| format!("line {i}")).collect();
        let talk = function(&client, "talk").await;
        emu.faults(
            r#"[{"rpc": "AppGetLogs", "nth": 1, "times": 3, "kind": "reset", "after": 2},
                {"rpc": "AppGetLogs", "nth": 5, "kind": "fail_before", "code": 14}]"#,
        );
        let mut logs = std::pin::pin!(client.apps().follow_logs(&app.id, &LogFilter::new()));
        let follow = async {
            let mut text = String::new();
            while !text.contains("line 199\n") {
                let batch = logs.next().await.unwrap().unwrap();
                batch
                    .lines
                    .iter()
                    .for_each(|line| text.push_str(&line.text));
            }
            text
        };
        let (text, called) = tokio::join!(follow, talk.call::<i64>((200,)));
        called.unwrap();
        let lines: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("line "))
            .collect();
        assert_eq!(lines, expected);

        let range = LogRange {
            limit: 1000,
            ..LogRange::default()
        };
        let filter = LogFilter::new().function_id(talk.id());
        let fetched = client
            .apps()
            .fetch_logs(&app.id, &filter, &range)
            .await
            .unwrap();
        let text: String = fetched
            .iter()
            .flat_map(|batch| &batch.lines)
            .map(|line| line.text.as_str())
            .collect();
        let lines: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("line "))
            .collect();
        assert_eq!(lines, expected);
    });
    emu.stop();
}

#[test]
fn an_image_is_built_once_with_its_log_and_found_by_its_name() {
    let emu = Emu::start();
    let client = client(&emu);
    emu.block_on(async {
        let app = client
            .apps()
            .lookup("images", None, Existence::CreateIfMissing)
            .await
            .unwrap();
        let definition = ImageDefinition::from_registry("alpine:3.20")
            .unwrap()
            .dockerfile_commands(["RUN echo from-the-build"]);
        let options = BuildOptions::default();
        emu.faults(r#"[{"rpc": "ImageJoinStreaming", "kind": "reset", "after": 1}]"#);
        let events: Vec<_> = client
            .images()
            .build_events(&app.id, &definition, &options)
            .try_collect()
            .await
            .unwrap();
        let log: String = events
            .iter()
            .filter_map(|event| match event {
                BuildEvent::Log(line) => Some(line.text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(
            log.matches("\nfrom-the-build").count()
                + usize::from(log.starts_with("from-the-build")),
            1,
            "{log}"
        );
        let Some(BuildEvent::Built(image)) = events.last() else {
            panic!("{events:?}")
        };

        let images = client.images();
        let again = images.build(&app.id, &definition, &options).await.unwrap();
        assert_eq!(again.id, image.id);
        assert_eq!(images.get(&image.id).await.unwrap().id, image.id);
        images.publish(&image.id, "base:v1", None).await.unwrap();
        assert_eq!(images.resolve_tag("base:v1", None).await.unwrap(), image.id);
        assert_eq!(images.tags("ba", None).await.unwrap()[0].tag, "base:v1");

        let broken = ImageDefinition::from_image(&image.id).dockerfile_commands(["RUN exit 3"]);
        let error = images.build(&app.id, &broken, &options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Remote);
        assert!(
            error.to_string().starts_with("image build, step 1 of 1"),
            "{error}"
        );
        images.delete(&image.id).await.unwrap();
        assert_eq!(
            images.get(&image.id).await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
    });
    emu.stop();
}
