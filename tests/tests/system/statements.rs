//! The bank-statement example, as people use it. Its own unit tests know the format's corners.

use std::fs;

use moorline_testkit::moorline::Moorline;
use moorline_tests::{repository, run};
use serde_json::{Value, json};

/// A statement of one account, in the SGML form that banks send.
fn statement(sign_on: u32, transactions: &str) -> String {
    format!(
        "OFXHEADER:100\r\nDATA:OFXSGML\r\nVERSION:102\r\nSECURITY:NONE\r\nENCODING:USASCII\r\nCHARSET:1252\r\n\
         COMPRESSION:NONE\r\nOLDFILEUID:NONE\r\nNEWFILEUID:NONE\r\n\r\n\
         <OFX><SIGNONMSGSRSV1><SONRS><STATUS><CODE>{sign_on}<SEVERITY>INFO</STATUS><DTSERVER>20260105</SONRS></SIGNONMSGSRSV1>\
         <BANKMSGSRSV1><STMTTRNRS><TRNUID>1<STATUS><CODE>0<SEVERITY>INFO</STATUS><STMTRS><CURDEF>EUR\
         <BANKACCTFROM><BANKID>1<ACCTID>42<ACCTTYPE>CHECKING</BANKACCTFROM>\
         <BANKTRANLIST><DTSTART>20260101<DTEND>20260131{transactions}</BANKTRANLIST>\
         <LEDGERBAL><BALAMT>1.00<DTASOF>20260131</LEDGERBAL></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>"
    )
}

fn transaction(date: &str, amount: &str, id: &str) -> String {
    format!("<STMTTRN><TRNTYPE>DEBIT{date}<TRNAMT>{amount}<FITID>{id}<NAME>SHOP</STMTTRN>")
}

/// D-RUN-7, with the real binary: status, source state, exit code, exports only from successes.
#[test]
fn statements_end_as_the_failure_matrix_says() {
    let moorline = Moorline::new().unwrap();
    let job = repository().join("examples/bank-statement");
    let date = "<DTPOSTED>20260103120000.000[-5:EST]";
    let good = transaction(date, "-6.60", "a") + &transaction(date, "1234.05", "b");
    let cases = [
        (
            "good",
            statement(0, &good),
            0,
            "success",
            "active",
            json!(2),
        ),
        (
            "undated",
            statement(0, &transaction("", "-1.00", "a")),
            65,
            "failed",
            "needs_repair",
            Value::Null,
        ),
        (
            "priced",
            statement(0, &transaction(date, "$120", "a")),
            65,
            "failed",
            "needs_repair",
            Value::Null,
        ),
        (
            "refused",
            statement(15500, ""),
            77,
            "needs_reauth",
            "needs_reauth",
            Value::Null,
        ),
        ("empty", statement(0, ""), 0, "success", "active", json!(0)),
    ];
    for (name, text, code, status, source, count) in cases {
        let file = moorline.work_dir().join(format!("{name}.ofx"));
        fs::write(&file, text).unwrap();
        let input = format!("statement={}", file.display());
        let (output, summary) = run(&moorline, &job, &["--input", &input]);
        assert_eq!(output.code, Some(code), "{name}\n{output}");
        assert_eq!(summary["status"], status, "{name}\n{output}");
        assert_eq!(
            summary["effects"]["source_state"], source,
            "{name}\n{output}"
        );
        assert_eq!(summary["transaction_count"], count, "{name}\n{output}");
        let exported = moorline
            .state_dir()
            .join("exports/bank-statement")
            .join(summary["run_id"].as_str().unwrap());
        assert_eq!(exported.exists(), code == 0, "{name}");
        if name == "good" {
            let lines = fs::read_to_string(exported.join("transactions.jsonl")).unwrap();
            let amounts: Vec<bool> = ["\"amount\":-6.60", "\"amount\":1234.05"]
                .iter()
                .map(|a| lines.replace(": ", ":").contains(a))
                .collect();
            assert_eq!(amounts, [true, true], "{lines}");
            assert!(lines.contains("\"extraction_run_id\""), "{lines}");
        }
    }
    let sources = moorline
        .run(["sources", "list", "--json"])
        .unwrap()
        .json()
        .unwrap();
    assert_eq!(sources[0]["state"], "active");
}
