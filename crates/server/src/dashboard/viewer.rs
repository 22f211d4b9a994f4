//! Whoever looks: the caller, and how they want to see it.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::header::COOKIE;
use http::request::Parts;
use jiff::Timestamp;
use moorline_api::Operation;
use moorline_core::error_code::ErrorCode;
use moorline_core::principal::{Principal, Role};
use moorline_engine::Engine;

use super::fault::Fault;
use super::parts::{Countdown, Moment};
use crate::access::Caller;
use crate::app::App;

/// The cookie that keeps the theme. It says nothing about anybody, so it needs no protection.
pub(crate) const THEME_COOKIE: &str = "moorline_theme";

/// Light, dark, or as the device wants it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Theme {
    /// As the device wants it.
    #[default]
    Device,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Theme {
    /// The name in the cookie, in forms and in the page.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Device => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// The theme of a name; that of the device for any other.
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::Device,
        }
    }
}

/// Whoever looks at a page.
#[derive(Debug, Clone)]
pub(crate) struct Viewer {
    caller: Caller,
    /// The time at which they look.
    pub(crate) now: Timestamp,
    /// How they want to see it.
    pub(crate) theme: Theme,
    /// Where they are: path and query.
    pub(crate) place: String,
}

impl Viewer {
    /// The engine of their project.
    pub(crate) fn engine(&self) -> &Engine {
        &self.caller.project.engine
    }

    /// The name of their project.
    pub(crate) fn project(&self) -> &str {
        &self.caller.project.name
    }

    /// Who they are.
    pub(crate) fn actor(&self) -> Principal {
        self.caller.identity.principal.clone()
    }

    /// Their role, in a word.
    pub(crate) fn role(&self) -> String {
        self.caller.identity.role.to_string()
    }

    /// Their role, to compare.
    pub(crate) const fn rank(&self) -> Role {
        self.caller.identity.role
    }

    /// Whether they may do this.
    pub(crate) fn may(&self, operation: Operation) -> bool {
        self.caller.permit(operation).is_ok()
    }

    /// Refuses what they may not do.
    pub(crate) fn permit(&self, operation: Operation) -> Result<(), Fault> {
        Ok(self.caller.permit(operation)?)
    }

    /// Refuses what they may not do, and records the refusal: for what changes something.
    pub(crate) async fn admit(&self, operation: Operation, subject: &str) -> Result<(), Fault> {
        Ok(self.caller.admit(operation, subject).await?)
    }

    /// A point in time, as they see it.
    pub(crate) const fn moment(&self, at: Timestamp) -> Moment {
        Moment::new(at, self.now)
    }

    /// A time that is waited for, as they see it.
    pub(crate) const fn countdown(&self, at: Timestamp) -> Countdown {
        Countdown(Moment::new(at, self.now))
    }
}

impl FromRequestParts<Arc<App>> for Viewer {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Fault> {
        let place = parts
            .uri
            .path_and_query()
            .map_or_else(|| "/".to_owned(), ToString::to_string);
        let caller = match Caller::from_request_parts(parts, app).await {
            Ok(caller) => caller,
            Err(problem) if problem.0.code == ErrorCode::Unauthenticated => {
                // Nobody is sent back to what only a form can ask for.
                let next = if parts.method == http::Method::GET {
                    place
                } else {
                    "/".to_owned()
                };
                return Err(Fault::Login(next));
            }
            Err(problem) => return Err(problem.into()),
        };
        let cookies = parts.headers.get_all(COOKIE).iter();
        let theme = cookies
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == THEME_COOKIE)
            .map_or(Theme::Device, |(_, value)| Theme::named(value));
        Ok(Self {
            caller,
            now: app.clock.now(),
            theme,
            place,
        })
    }
}
