//! Somebody who decides, in each of the three ways that there are: the seed's `POST /hitl/approve`, the command
//! line of their own machine, and the page as a browser without script has it.

use moorline_testkit::moorline::{Moorline, Running};
use moorline_testkit::moorlined::Server;
use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::super::parked::insist;
use super::super::support::{Api, PATIENCE};
use super::machines::reads;

/// What every decision says, whether or not its option wants words.
const WORDS: &str = "as it should be";

/// How a decision comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// `POST /hitl/approve`.
    Http,
    /// `moorline approvals decide`, with a server and a token.
    Cli,
    /// The form of the page.
    Page,
}

impl Way {
    pub(super) const ALL: [Self; 3] = [Self::Http, Self::Cli, Self::Page];
}

/// A decision that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// The status of the answer; the command line has none.
    pub(super) status: Option<u16>,
    pub(super) code: String,
}

/// What somebody wants to choose.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice<'a> {
    pub(super) option: &'a str,
    /// What the option asks for.
    pub(super) given: Option<&'a str>,
}

/// A person with a token, a machine of their own, and a browser that is logged in.
pub(super) struct Person {
    pub(super) token: String,
    laptop: Moorline,
    browser: Client,
    cookie: String,
}

impl Person {
    /// Ada, with a token that is made at this server, at which her browser logs in.
    pub(super) async fn at(server: &Server) -> Self {
        let token = server.token("ada", ["--principal", "human:ada"]).unwrap();
        let browser = Client::builder().redirect(Policy::none()).no_proxy();
        let browser = browser.timeout(PATIENCE).build().unwrap();
        let log_in = browser.post(format!("{}/login", server.url()));
        let log_in = log_in.header("content-type", "application/x-www-form-urlencoded");
        let answer = log_in.body(format!("token={token}")).send().await.unwrap();
        assert_eq!(answer.status(), 303);
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self {
            token,
            laptop: Moorline::new().unwrap(),
            browser,
            cookie,
        }
    }

    pub(super) fn api(&self, at: &str) -> Api {
        Api::new(at, Some(&self.token))
    }

    /// Decides what a status says is pending, at the server `at`; what the decision came to, in the seed's words.
    pub(super) async fn decides(
        &self,
        at: &str,
        way: Way,
        status: &Value,
        choice: Choice<'_>,
    ) -> Result<String, Refused> {
        match way {
            Way::Http => self.by_http(at, &body(status, choice)).await,
            Way::Cli => self.by_cli(at, status, choice),
            Way::Page => self.by_page(at, status, choice).await,
        }
    }

    pub(super) async fn by_http(&self, at: &str, body: &Value) -> Result<String, Refused> {
        let key = text(&body["idempotency_key"]);
        let (status, answer) = insist(&self.api(at), "/hitl/approve", &key, body).await;
        if status == 200 {
            return Ok(text(&answer["status"]));
        }
        Err(Refused {
            status: Some(status),
            code: text(&answer["code"]),
        })
    }

    fn by_cli(&self, at: &str, status: &Value, choice: Choice<'_>) -> Result<String, Refused> {
        let pending = &status["hitl_pending"];
        let mut decide = vec![
            "approvals".to_owned(),
            "decide".to_owned(),
            text(&pending["request_id"]),
            choice.option.to_owned(),
            "--feedback".to_owned(),
            WORDS.to_owned(),
            "--version".to_owned(),
            pending["version"].to_string(),
            "--json".to_owned(),
        ];
        if let (Some(given), Some(key)) = (choice.given, asked(pending, choice.option)) {
            decide.extend(["--input".to_owned(), format!("{key}={given}")]);
        }
        let mut command = self.laptop.bare_command();
        command.args(&decide);
        command.env("MOORLINE_SERVER", at);
        command.env("MOORLINE_TOKEN", &self.token);
        let output = Running::start(&mut command)
            .unwrap()
            .wait(PATIENCE)
            .unwrap();
        let said = output.json().unwrap();
        if output.code == Some(0) {
            return Ok(text(&said["outcome"]));
        }
        Err(Refused {
            status: None,
            code: text(&said["error"]["code"]),
        })
    }

    /// Opens the page of the request and sends the form of the option. Where the page offers no such option, the
    /// form of another one is sent with its name in it, as from a page that is out of date.
    async fn by_page(
        &self,
        at: &str,
        status: &Value,
        choice: Choice<'_>,
    ) -> Result<String, Refused> {
        let pending = &status["hitl_pending"];
        let path = format!("/approvals/{}", text(&pending["request_id"]));
        let page = self.sees(at, &path).await;
        let forms = forms(&page, &format!("{path}/decision"));
        let of = |form: &&Vec<(String, String)>| member(form, "option") == Some(choice.option);
        let form = forms.iter().find(of).or_else(|| forms.first());
        let mut form = form.expect("a form to send").clone();
        for (name, value) in &mut form {
            if name == "option" {
                choice.option.clone_into(value);
            }
            if name == "feedback" {
                WORDS.clone_into(value);
            }
            if name.starts_with("input.") {
                choice.given.unwrap_or_default().clone_into(value);
            }
        }
        let sent = form
            .iter()
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        let sent = sent.collect::<Vec<_>>().join("&");
        let post = async |origin: &str, site: &str| {
            let post = self
                .browser
                .post(format!("{at}{path}/decision"))
                .header("cookie", &self.cookie)
                .header("content-type", "application/x-www-form-urlencoded")
                .header("origin", origin)
                .header("sec-fetch-site", site);
            post.body(sent.clone()).send().await.unwrap()
        };
        let forged = post("https://evil.example", "cross-site").await;
        assert_eq!(forged.status(), 403, "a page of another site decides");
        let mut answer = post(at, "same-origin").await;
        while answer.status() == 503 {
            // The same form again, as its page would be sent again: the decision has one key.
            answer = post(at, "same-origin").await;
        }
        let code = answer.status().as_u16();
        if code != 303 {
            let page = answer.text().await.unwrap();
            let said = between(&page, "<p class=\"code\">", "</p>").unwrap_or_default();
            return Err(Refused {
                status: Some(code),
                code: said.rsplit(' ').next().unwrap_or_default().to_owned(),
            });
        }
        let next = answer.headers()["location"].to_str().unwrap().to_owned();
        assert!(next.starts_with(&format!("{path}?done=decided")), "{next}");
        let shown = self.sees(at, &next).await;
        let decided = format!("<b>{}</b> by human:ada", choice.option);
        assert!(shown.contains(&decided), "{shown}");
        // The page tells what it led to in words; the word of the seed is the API's to say.
        let request = reads(&self.api(at), &format!("/v1{path}")).await;
        Ok(text(&request["decision"]["outcome"]))
    }

    /// A page, as this person's browser has it.
    pub(super) async fn sees(&self, at: &str, path: &str) -> String {
        let get = self.browser.request(Method::GET, format!("{at}{path}"));
        let answer = get.header("cookie", &self.cookie).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap()
    }
}

/// The body of the seed for a choice: what an option asks for is said in `feedback`.
pub(super) fn body(status: &Value, choice: Choice<'_>) -> Value {
    let pending = &status["hitl_pending"];
    json!({
        "run_id": status["run_id"],
        "checkpoint": pending["checkpoint"],
        "decision": choice.option,
        "feedback": choice.given.unwrap_or(WORDS),
        "request_id": pending["request_id"],
        "version": pending["version"],
        "idempotency_key": format!("{}:{}", text(&pending["request_id"]), choice.option),
    })
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The key that an option asks for.
fn asked(pending: &Value, option: &str) -> Option<String> {
    let options = pending["options"].as_array()?;
    let option = options.iter().find(|offer| offer["name"] == option)?;
    Some(option["inputs"][0]["key"].as_str()?.to_owned())
}

/// The forms of a page that go to `action`, each with the names and values that a browser would send of it.
fn forms(page: &str, action: &str) -> Vec<Vec<(String, String)>> {
    let forms = page.split("<form ").skip(1);
    let forms = forms.filter_map(|form| form.split("</form>").next());
    forms
        .filter(|form| attribute(form, "action") == Some(action))
        .map(|form| {
            let tags = form
                .split('<')
                .filter(|tag| tag.starts_with("input ") || tag.starts_with("textarea "));
            let fields = tags.filter_map(|tag| {
                let tag = tag.split('>').next()?;
                let value = attribute(tag, "value").unwrap_or_default();
                Some((attribute(tag, "name")?.to_owned(), value.to_owned()))
            });
            fields.collect()
        })
        .collect()
}

fn attribute<'t>(tag: &'t str, name: &str) -> Option<&'t str> {
    between(tag, &format!(" {name}=\""), "\"")
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    text.split_once(start)?.1.split_once(end).map(|(it, _)| it)
}

fn member<'f>(form: &'f [(String, String)], name: &str) -> Option<&'f str> {
    let found = form.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str())
}

/// As a browser writes it into the body of a form.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}
