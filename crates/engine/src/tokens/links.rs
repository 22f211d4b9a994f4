//! Links by which one person decides one request, once (D-FLOW-4).
//!
//! A link is a token of its own kind: it names a person and a request, it permits to see and to decide that
//! request, and it is used up by the decision. What its person may do is asked when they decide, not when the
//! link is made.

use jiff::{SignedDuration, Timestamp};
use moorline_api::{
    ApiError, ApprovalDecideRequest, ApprovalDecided, ApprovalLink, ApprovalLinkRequest,
    ApprovalOperations as _, ApprovalShowRequest, Operation, authorization,
};
use moorline_core::approval::{ApprovalRequest, ApprovalStatus};
use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;
use moorline_core::ids::TokenId;
use moorline_core::principal::Principal;
use moorline_core::token::{TokenKind, TokenRecord};
use serde_json::{Map, Value};

use super::authenticate::nobody;
use crate::engine::{Engine, Inner};
use crate::error::store_error;

/// For how many minutes a link holds when nobody says: a day.
const DEFAULT_MINUTES: u32 = 24 * 60;

/// For how many minutes a link holds at most: a week.
const MOST_MINUTES: u32 = 7 * 24 * 60;

/// How a link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// It decides.
    Open,
    /// Its person has decided by it.
    UsedUp,
    /// Somebody ended it.
    Revoked,
    /// Its time is over.
    Expired,
}

impl LinkState {
    fn of(token: &TokenRecord, now: Timestamp) -> Self {
        if token.last_used_at.is_some() {
            Self::UsedUp
        } else if token.revoked_at.is_some() {
            Self::Revoked
        } else if now >= token.expires_at {
            Self::Expired
        } else {
            Self::Open
        }
    }
}

/// What somebody sees who opens a link.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkView {
    /// The link's token.
    pub token: TokenRecord,
    /// How the link stands.
    pub state: LinkState,
    /// The request, as it stands.
    pub request: ApprovalRequest,
}

/// What somebody decides by a link.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LinkChoice {
    /// The option.
    pub option: String,
    /// Their words.
    pub feedback: Option<String>,
    /// What the option asks for, by key of the state.
    pub input: Map<String, Value>,
    /// The version that they saw; absent means whatever it is now.
    pub version: Option<u64>,
}

impl Engine {
    /// What a link shows; looking changes nothing, as programs open links before people do.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthenticated`] for a text that was never a link's; not for a link that ended.
    pub async fn link_show(&self, link: &str) -> Result<LinkView, ApiError> {
        let token = self.inner.link(link).await?;
        let approval = token.approval.ok_or_else(nobody)?;
        let show = ApprovalShowRequest {
            approval: approval.to_string(),
        };
        let request = self.approval_show(show).await?;
        Ok(LinkView {
            state: LinkState::of(&token, self.inner.now()),
            token,
            request,
        })
    }

    /// Decides by a link, once: the decision uses it up. Sent again, the same decision gives the same answer.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthenticated`] for a text that was never a link's; [`ErrorCode::Expired`] for a link that
    /// ended; and as [`approval_decide`](moorline_api::ApprovalOperations::approval_decide), after which the
    /// link still holds.
    pub async fn link_decide(
        &self,
        link: &str,
        choice: LinkChoice,
    ) -> Result<ApprovalDecided, ApiError> {
        let token = self.inner.link(link).await?;
        let approval = token.approval.ok_or_else(nobody)?;
        let ended = match LinkState::of(&token, self.inner.now()) {
            // Who decides again what they decided gets the same answer, from the key.
            LinkState::Open | LinkState::UsedUp => None,
            LinkState::Revoked => Some("the link was revoked"),
            LinkState::Expired => Some("the link has expired"),
        };
        if let Some(ended) = ended {
            return Err(ApiError::new(ErrorCode::Expired, ended)
                .hint("ask for another one: `moorline approvals link` makes it"));
        }
        let decide = ApprovalDecideRequest {
            approval: Some(approval.to_string()),
            option: choice.option,
            feedback: choice.feedback,
            input: choice.input,
            version: choice.version,
            idempotency_key: Some(format!("link:{}", token.id)),
            actor: token.principal.clone(),
            ..ApprovalDecideRequest::default()
        };
        let decided = self.approval_decide(decide).await?;
        // The decision stands, and its key keeps the link from deciding anything else: a mark that is lost here
        // only makes the link look open.
        let used = self.inner.store.token_used(token.id, self.inner.now());
        used.await.map_err(store_error)?;
        Ok(decided)
    }

    /// [`approval_link`](moorline_api::ApprovalOperations::approval_link).
    pub(crate) async fn make_link(
        &self,
        request: ApprovalLinkRequest,
    ) -> Result<ApprovalLink, ApiError> {
        let actor = request.actor.clone();
        let subject = format!("approval/{}", request.approval);
        let work = Box::pin(self.new_link(request));
        self.inner
            .guarded(Operation::ApprovalLink, &actor, subject, work)
            .await
    }

    async fn new_link(&self, asked: ApprovalLinkRequest) -> Result<ApprovalLink, ApiError> {
        let inner = &self.inner;
        let minutes = asked.minutes.unwrap_or(DEFAULT_MINUTES);
        if !(1..=MOST_MINUTES).contains(&minutes) {
            let message = format!("a link holds for 1 to {MOST_MINUTES} minutes, not {minutes}");
            return Err(
                ApiError::new(ErrorCode::Usage, message).hint("leave `--minutes` out for a day")
            );
        }
        let show = ApprovalShowRequest {
            approval: asked.approval,
        };
        let request = self.approval_show(show).await?;
        if request.status != ApprovalStatus::Pending {
            let message = format!(
                "the request {} is {}: there is nothing to decide",
                request.id,
                request.status.as_str()
            );
            return Err(ApiError::new(ErrorCode::Conflict, message));
        }
        self.may_decide(&asked.principal, &request).await?;
        let now = inner.now();
        let span = SignedDuration::from_mins(minutes.into());
        let end = now.checked_add(span).unwrap_or(Timestamp::MAX);
        // A request that is held open past its time has no end that a link could share.
        let expires_at = if request.overdue {
            end
        } else {
            end.min(request.expires_at)
        };
        let id = TokenId::new(inner.ids.uuid());
        let (text, hash) = inner.new_text(id)?;
        let record = TokenRecord {
            id,
            name: format!("link to {}", request.checkpoint),
            kind: TokenKind::Link,
            principal: asked.principal.clone(),
            role: None,
            scopes: [Operation::ApprovalShow, Operation::ApprovalDecide]
                .map(|operation| operation.as_str().to_owned())
                .to_vec(),
            hash,
            parent: None,
            approval: Some(request.id),
            created_at: now,
            created_by: asked.actor,
            expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        let created = inner.store.token_create(record, "a link to decide by");
        created.await.map_err(store_error)?;
        Ok(ApprovalLink {
            approval: request.id,
            run_id: request.run_id,
            principal: asked.principal,
            path: format!("/decide/{text}"),
            expires_at,
        })
    }

    /// Refuses a link for somebody who could not decide by it now.
    async fn may_decide(
        &self,
        principal: &Principal,
        request: &ApprovalRequest,
    ) -> Result<(), ApiError> {
        let role = self.inner.role_of(principal).await?;
        authorization::permit(Operation::ApprovalDecide, principal, role)?;
        let refused = if role < request.least_role {
            format!(
                "{principal} has the role `{role}`, and the gate `{}` wants `{}`",
                request.checkpoint, request.least_role
            )
        } else if request.not_by.as_ref() == Some(principal) {
            format!("{principal} started the run, and the gate wants a second person")
        } else {
            return Ok(());
        };
        Err(Denial::new(ErrorCode::Forbidden, "D-FLOW-4", refused)
            .hint("make the link for somebody who may decide")
            .into())
    }
}

impl Inner {
    /// The record of a link's text, whether it still holds or not.
    async fn link(&self, text: &str) -> Result<TokenRecord, ApiError> {
        let parts = self.parts(text)?;
        // Never remembered: a link is shown a few times in its life.
        let token = self.store.token_get(parts.id).await.map_err(store_error)?;
        token
            .filter(|token| parts.has_hash(&token.hash) && token.kind == TokenKind::Link)
            .ok_or_else(nobody)
    }
}
