//! What was spent: by object and interval, by cycle, and the price list. Amounts are US dollars, exact.

use std::collections::BTreeMap;

use jiff::Timestamp;
use moorline_modal_proto::client as pb;
use rust_decimal::Decimal;

use crate::error::{Error, ErrorKind, Result};
use crate::rpc::{CallOptions, control_plane};
use crate::transport::Client;
use crate::wire::{some, timestamp, wire_timestamp};

control_plane! {
    RATES = WorkspaceBillingRates(WorkspaceBillingRatesRequest) -> WorkspaceBillingRatesResponse, Read;
    REPORT = WorkspaceBillingReport(WorkspaceBillingReportRequest) -> WorkspaceBillingReportItem, Read;
    SUMMARY = WorkspaceBillingSummary(WorkspaceBillingSummaryRequest) -> WorkspaceBillingSummaryResponse, Read;
    ENVIRONMENT_SUMMARY = EnvironmentBillingSummary(EnvironmentBillingSummaryRequest) -> EnvironmentBillingSummaryResponse, Read;
}

/// A report has no position to go on from, so after a failure it is asked for again, so many times.
const ATTEMPTS: u32 = 3;

/// The length of a report's intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// Days, in UTC.
    #[default]
    Day,
    /// Hours.
    Hour,
}

/// Which costs are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReportQuery {
    /// From here on.
    pub start: Timestamp,
    /// Up to here, not included; up to now when unset.
    pub end: Option<Timestamp>,
    /// By day or by hour.
    pub resolution: Resolution,
    /// Tags of apps to show.
    pub tag_names: Vec<String>,
    /// Only these environments, `en-…`; all when empty.
    pub environment_ids: Vec<String>,
    /// Only these apps, `ap-…`; all when empty.
    pub app_ids: Vec<String>,
}

impl ReportQuery {
    /// By day, of everything.
    pub fn since(start: Timestamp) -> Self {
        Self {
            start,
            end: None,
            resolution: Resolution::Day,
            tag_names: Vec::new(),
            environment_ids: Vec::new(),
            app_ids: Vec::new(),
        }
    }

    fn request(&self) -> pb::WorkspaceBillingReportRequest {
        pb::WorkspaceBillingReportRequest {
            start_timestamp: Some(wire_timestamp(self.start)),
            end_timestamp: self.end.map(wire_timestamp),
            resolution: match self.resolution {
                Resolution::Day => "d".into(),
                Resolution::Hour => "h".into(),
            },
            tag_names: self.tag_names.clone(),
            environment_ids: self.environment_ids.clone(),
            app_ids: self.app_ids.clone(),
        }
    }
}

/// The cost of one object in one interval.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReportItem {
    /// The object, usually an app, `ap-…`.
    pub object_id: String,
    /// What it is.
    pub description: String,
    /// Its environment's name.
    pub environment: String,
    /// The interval's begin.
    pub interval: Option<Timestamp>,
    /// In US dollars.
    pub cost: Decimal,
    /// In US dollars, by resource.
    pub cost_by_resource: BTreeMap<String, Decimal>,
    /// The tags that were asked for.
    pub tags: BTreeMap<String, String>,
}

impl ReportItem {
    fn of(item: pb::WorkspaceBillingReportItem) -> Result<Self> {
        Ok(Self {
            cost: amount(&item.cost)?,
            cost_by_resource: amounts(item.cost_by_resource)?,
            interval: item.interval.as_ref().and_then(timestamp),
            tags: item.tags.into_iter().collect(),
            object_id: item.object_id,
            description: item.description,
            environment: item.environment_name,
        })
    }
}

/// The sums of a billing cycle.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// The cycle's begin.
    pub start: Option<Timestamp>,
    /// The cycle's end.
    pub end: Option<Timestamp>,
    /// What was used.
    pub metered: Decimal,
    /// What is to be paid after credits; not told of a single environment.
    pub billed: Option<Decimal>,
    /// What was used, by resource.
    pub metered_by_resource: BTreeMap<String, Decimal>,
    /// Credits and other adjustments, by kind.
    pub adjustments: BTreeMap<String, Decimal>,
}

/// Calls about billing.
#[derive(Clone, Debug)]
pub struct Billing {
    client: Client,
}

impl Client {
    /// Billing.
    pub fn billing(&self) -> Billing {
        Billing {
            client: self.clone(),
        }
    }
}

impl Billing {
    /// The costs by object and interval.
    ///
    /// # Errors
    /// What the server says; [`ErrorKind::Protocol`] for an amount that is none.
    pub async fn report(&self, query: &ReportQuery) -> Result<Vec<ReportItem>> {
        let mut attempt = 1;
        loop {
            match self.report_once(query).await {
                Err(error) if error.is_transient() && attempt < ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    async fn report_once(&self, query: &ReportQuery) -> Result<Vec<ReportItem>> {
        let options = CallOptions::default();
        let mut stream = self
            .client
            .server_stream(REPORT, query.request(), &options)
            .await?;
        let idle = self.client.config().retry.attempt_timeout;
        let mut items = Vec::new();
        loop {
            match tokio::time::timeout(idle, stream.message()).await {
                Ok(Ok(Some(item))) => items.push(ReportItem::of(item)?),
                Ok(Ok(None)) => return Ok(items),
                Ok(Err(status)) => return Err(Error::from_status(REPORT.name(), status)),
                Err(_) => {
                    let text = "the report stopped in the middle";
                    return Err(Error::new(ErrorKind::Timeout, text).with_rpc(REPORT.name()));
                }
            }
        }
    }

    /// The sums of the cycle that holds `at`; the current one when unset.
    ///
    /// # Errors
    /// What the server says.
    pub async fn summary(&self, at: Option<Timestamp>) -> Result<Summary> {
        let request = pb::WorkspaceBillingSummaryRequest {
            start_timestamp: at.map(wire_timestamp),
        };
        let reply = self.client.unary(SUMMARY, request).await?;
        Ok(Summary {
            start: reply.start_timestamp.as_ref().and_then(timestamp),
            end: reply.end_timestamp.as_ref().and_then(timestamp),
            metered: amount(&reply.metered_cost)?,
            billed: some(reply.billed_cost)
                .map(|cost| amount(&cost))
                .transpose()?,
            metered_by_resource: amounts(reply.metered_cost_breakdown)?,
            adjustments: amounts(reply.adjustments)?,
        })
    }

    /// The sums of one environment, `en-…`.
    ///
    /// # Errors
    /// What the server says.
    pub async fn environment_summary(
        &self,
        environment_id: &str,
        at: Option<Timestamp>,
    ) -> Result<Summary> {
        let request = pb::EnvironmentBillingSummaryRequest {
            start_timestamp: at.map(wire_timestamp),
            environment_id: environment_id.to_owned(),
        };
        let reply = self.client.unary(ENVIRONMENT_SUMMARY, request).await?;
        Ok(Summary {
            start: reply.start_timestamp.as_ref().and_then(timestamp),
            end: reply.end_timestamp.as_ref().and_then(timestamp),
            metered: amount(&reply.metered_cost)?,
            billed: None,
            metered_by_resource: amounts(reply.metered_cost_breakdown)?,
            adjustments: BTreeMap::new(),
        })
    }

    /// Prices by resource, as the server words them.
    ///
    /// # Errors
    /// What the server says.
    pub async fn rates(&self) -> Result<BTreeMap<String, String>> {
        let reply = self
            .client
            .unary(RATES, pb::WorkspaceBillingRatesRequest {})
            .await?;
        Ok(reply.rates.into_iter().collect())
    }
}

/// An amount; nothing at all is zero.
fn amount(text: &str) -> Result<Decimal> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Decimal::ZERO);
    }
    text.parse()
        .or_else(|_| Decimal::from_scientific(text))
        .map_err(|error| {
            let text = format!("the server sent `{}` for an amount", text.escape_debug());
            Error::new(ErrorKind::Protocol, text).with_source(error)
        })
}

fn amounts(texts: std::collections::HashMap<String, String>) -> Result<BTreeMap<String, Decimal>> {
    texts
        .into_iter()
        .map(|(key, text)| Ok((key, amount(&text)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        assert_eq!(
            amount("0.1").unwrap() + amount("0.2").unwrap(),
            amount("0.3").unwrap()
        );
        assert_eq!(amount("1.5e-3").unwrap(), amount("0.0015").unwrap());
        assert_eq!(amount("").unwrap(), Decimal::ZERO);
        assert_eq!(amount("much").unwrap_err().kind(), ErrorKind::Protocol);
    }

    #[test]
    fn a_query_says_days_or_hours() {
        let mut query = ReportQuery::since(Timestamp::UNIX_EPOCH);
        assert_eq!(query.request().resolution, "d");
        query.resolution = Resolution::Hour;
        assert_eq!(query.request().resolution, "h");
    }
}
