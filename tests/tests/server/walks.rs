//! Every way through `examples/validation-workflow`, as data: what the crews find, what people decide, and how
//! the run ends. Together they choose every option that is ever offered.

use serde_json::{Value, json};

/// One way through the workflow.
pub(crate) struct Walk {
    pub(crate) name: &'static str,
    /// What the mock crews find.
    pub(crate) hints: Value,
    /// Checkpoint and decision, in order; behind a `=`, what the option asks for.
    pub(crate) decisions: &'static [&'static str],
    /// The status that the run ends with.
    pub(crate) ends: &'static str,
}

/// The start that most walks share: everything is approved until the campaign has run.
const LAUNCH: &[&str] = &[
    "approve_founders_brief approved",
    "approve_experiment_plan approved",
    "approve_pricing_test approved",
    "approve_vpc_completion approved",
    "approve_campaign_launch approved",
];

impl Walk {
    /// Every decision, those of the shared start first.
    pub(crate) fn all_decisions(&self) -> Vec<&'static str> {
        match self.decisions.split_first() {
            Some((&"…", rest)) => [LAUNCH, rest].concat(),
            _ => self.decisions.to_vec(),
        }
    }
}

/// The walks.
#[rustfmt::skip] // a table reads as one
pub(crate) fn walks() -> Vec<Walk> {
    vec![
        Walk { name: "everything holds", hints: json!({}), ends: "success", decisions: &["…",
            "approve_desirability_gate approved", "approve_feasibility_gate approved", "approve_viability_gate approved"] },
        Walk { name: "nothing is in doubt: nobody is asked about feasibility", hints: json!({"confidence": 1.0, "resonance": 0.30, "zombie_ratio": 0.69, "ltv_cac": 3.0}), ends: "success", decisions: &["…",
            "approve_desirability_gate approved", "approve_viability_gate approved"] },
        Walk { name: "what was not measured is nobody's approval", hints: json!({"resonance": null, "confidence": null, "blockers": 0}), ends: "failed", decisions: &["…",
            "approve_desirability_gate approved", "approve_feasibility_gate rejected"] },
        Walk { name: "the brief is rejected", hints: json!({}), ends: "failed", decisions: &[
            "approve_founders_brief rejected"] },
        Walk { name: "three times again, and no fourth", hints: json!({}), ends: "failed", decisions: &[
            "approve_founders_brief iterate", "approve_founders_brief iterate", "approve_founders_brief iterate",
            "approve_founders_brief iterate!", "approve_founders_brief approved",
            "approve_experiment_plan iterate", "approve_experiment_plan rejected"] },
        Walk { name: "the price is not tested", hints: json!({}), ends: "failed", decisions: &[
            "approve_founders_brief approved", "approve_experiment_plan approved",
            "approve_pricing_test iterate", "approve_pricing_test rejected"] },
        Walk { name: "no fit, for nobody", hints: json!({"fit": 0.69}), ends: "failed", decisions: &[
            "approve_founders_brief approved", "approve_experiment_plan approved", "approve_pricing_test approved",
            "approve_vpc_completion iterate", "approve_pricing_test approved",
            "approve_vpc_completion custom_segment=island residents!",
            "approve_vpc_completion custom_segment=lighthouse keepers", "approve_pricing_test approved",
            "approve_vpc_completion rejected"] },
        Walk { name: "the campaign never starts", hints: json!({}), ends: "failed", decisions: &[
            "approve_founders_brief approved", "approve_experiment_plan approved", "approve_pricing_test approved",
            "approve_vpc_completion approved", "approve_campaign_launch iterate", "approve_campaign_launch rejected"] },
        Walk { name: "another segment, and then not", hints: json!({"resonance": 0.29, "after_pivot": {"resonance": 0.5}}), ends: "failed", decisions: &["…",
            "approve_segment_pivot segment_1", "approve_pricing_test approved", "approve_vpc_completion approved", "approve_campaign_launch approved",
            "approve_desirability_gate iterate", "approve_campaign_launch approved", "approve_desirability_gate rejected"] },
        Walk { name: "one segment after the other", hints: json!({"resonance": 0.0, "after_pivot": {"resonance": 0.1}, "blockers": 2}), ends: "failed", decisions: &["…",
            "approve_segment_pivot segment_3", "approve_pricing_test approved", "approve_vpc_completion approved", "approve_campaign_launch approved",
            "approve_segment_pivot segment_2", "approve_pricing_test approved", "approve_vpc_completion approved", "approve_campaign_launch approved",
            "approve_segment_pivot custom_segment=lighthouse keepers", "approve_pricing_test approved", "approve_vpc_completion approved", "approve_campaign_launch approved",
            "approve_segment_pivot override_proceed", "approve_desirability_gate approved",
            "approve_feasibility_gate downgrade", "approve_campaign_launch approved", "approve_segment_pivot rejected"] },
        Walk { name: "another offer, and more money for it", hints: json!({"zombie_ratio": 0.7, "spend_requested": 80}), ends: "failed", decisions: &["…",
            "approve_value_pivot approved", "approve_vpc_completion approved", "approve_campaign_launch approved",
            "approve_spend_increase approved", "approve_desirability_gate approved",
            "approve_feasibility_gate iterate", "approve_feasibility_gate rejected"] },
        Walk { name: "people hesitate, and a price that carries it", hints: json!({"zombie_ratio": 0.7, "ltv_cac": 2.9, "after_pivot": {"ltv_cac": 3.0}}), ends: "success", decisions: &["…",
            "approve_value_pivot override_proceed", "approve_desirability_gate approved", "approve_feasibility_gate approved",
            "request_human_decision change_price=39", "approve_viability_gate iterate", "approve_viability_gate approved"] },
        Walk { name: "people hesitate, and that is that", hints: json!({"zombie_ratio": 1.0}), ends: "failed", decisions: &["…",
            "approve_value_pivot rejected"] },
        Walk { name: "no more money, and not viable", hints: json!({"spend_requested": 1}), ends: "failed", decisions: &["…",
            "approve_spend_increase declined", "approve_desirability_gate approved", "approve_feasibility_gate approved",
            "approve_viability_gate rejected"] },
        Walk { name: "too much money", hints: json!({"spend_requested": 9000}), ends: "failed", decisions: &["…",
            "approve_spend_increase rejected"] },
        Walk { name: "it does not carry itself, and goes on all the same", hints: json!({"ltv_cac": 0.99}), ends: "success", decisions: &["…",
            "approve_desirability_gate approved", "approve_feasibility_gate approved",
            "request_human_decision override_proceed"] },
        Walk { name: "it carries itself for nobody", hints: json!({"ltv_cac": 1.0, "confidence": 1.0}), ends: "failed", decisions: &["…",
            "approve_desirability_gate approved", "request_human_decision custom_segment=lighthouse keepers",
            "approve_pricing_test approved", "approve_vpc_completion approved", "approve_campaign_launch approved", "approve_desirability_gate approved",
            "request_human_decision rejected"] },
    ]
}
