//! Request bodies through the base configuration.

use veloflux_waf::{MemFiles, Ruleset, Source, base_config};

use crate::common::{Request, Seen, block};

/// Shows every argument, then lets the base configuration decide.
const SHOW: &str = r#"
    SecRule ARGS_POST "@unconditionalMatch" "id:1000,phase:2,pass,nolog,setvar:'tx.seen=%{tx.seen}%{MATCHED_VAR_NAME}=%{MATCHED_VAR};'"
    SecRule FILES|XML:/*|XML://@* "@unconditionalMatch" "id:1001,phase:2,pass,nolog,setvar:'tx.seen=%{tx.seen}%{MATCHED_VAR_NAME}=%{MATCHED_VAR};'"
    SecAction "id:1002,phase:2,pass,msg:'%{tx.seen}',logdata:'%{REQBODY_PROCESSOR} %{REQBODY_ERROR} %{MULTIPART_STRICT_ERROR} %{FILES_COMBINED_SIZE} %{URLENCODED_ERROR} %{INBOUND_DATA_ERROR}'"
"#;

fn send(request: &Request) -> Seen {
    let show = Source { name: "show.conf".to_owned(), text: SHOW.to_owned() };
    let ruleset = Ruleset::compile(&[show, base_config()], &MemFiles::new()).unwrap();
    request.through(&ruleset, &block(&ruleset))
}

fn shown(request: &Request) -> (u16, String, String) {
    let seen = send(request);
    let shown = seen.record.matches.iter().find(|found| found.rule_id == 1002).unwrap();
    (seen.status, shown.message.clone(), shown.data.clone())
}

fn expected(status: u16, message: &str, data: &str) -> (u16, String, String) {
    (status, message.to_owned(), data.to_owned())
}

#[test]
fn forms_are_decoded() {
    let request = Request::post("application/x-www-form-urlencoded", "a=1&b=%2Fx+y&%zz=3");
    assert_eq!(
        shown(&request),
        expected(0, "ARGS_POST:a=1;ARGS_POST:b=/x y;ARGS_POST:%zz=3;", "URLENCODED 0 0 0 1 0")
    );
}

#[test]
fn json_is_flattened_and_broken_json_refused() {
    for content_type in ["application/json", "Application/Vnd.Api+JSON; charset=utf-8", "text/json"] {
        let request = Request::post(content_type, r#"{"a":{"b":[1,"x"]}}"#);
        assert_eq!(
            shown(&request),
            expected(0, "ARGS_POST:json.a.b.array_0=1;ARGS_POST:json.a.b.array_1=x;", "JSON 0 0 0 0 0"),
            "{content_type}"
        );
    }
    let broken = send(&Request::post("application/json", r#"{"a":"#));
    assert_eq!(broken.status, 400);
    assert!(broken.record.matches.last().unwrap().data.starts_with("JSON parsing error: "));
}

#[test]
fn the_cut_end_of_a_long_body_is_no_error() {
    let cut = Request { body_complete: false, ..Request::post("application/json", r#"{"a":"b","c"#) };
    assert_eq!(shown(&cut), expected(0, "ARGS_POST:json.a=b;", "JSON 0 0 0 0 1"));
    let broken = Request { body_complete: false, ..Request::post("application/json", r#"{"a":"b",,"c"#) };
    assert_eq!(send(&broken).status, 400);
}

#[test]
fn xml_gives_text_and_attributes_and_broken_xml_is_refused() {
    let request = Request::post("application/soap+xml", r#"<a x="1">t<b y="2">u</b></a>"#);
    assert_eq!(shown(&request), expected(0, "XML:/*=tu;XML://@*=1;XML://@*=2;", "XML 0 0 0 0 0"));
    assert_eq!(send(&Request::post("text/xml", "<a><b></a>")).status, 400);
    let entity = r#"<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>"#;
    assert_eq!(send(&Request::post("text/xml", entity)).status, 400);
}

fn multipart(body: &str) -> Request {
    Request::post("multipart/form-data; boundary=XX", body.replace('\n', "\r\n"))
}

const PARTS: &str = "--XX\nContent-Disposition: form-data; name=\"a\"\n\n1\n--XX\nContent-Disposition: form-data; name=\"f\"; filename=\"x.php\"\nContent-Type: text/plain\n\n<?php\n--XX--\n";

#[test]
fn multipart_gives_fields_and_files() {
    assert_eq!(shown(&multipart(PARTS)), expected(0, "ARGS_POST:a=1;FILES:f=x.php;", "MULTIPART 0 0 5 0 0"));
}

#[test]
fn ambiguous_multipart_is_refused() {
    let bare_line_feeds = Request::post("multipart/form-data; boundary=XX", PARTS);
    let refused = send(&bare_line_feeds);
    assert_eq!((refused.status, refused.ids().last()), (400, Some(&111)));
    assert_eq!(send(&multipart(&PARTS.replace("--XX--\n", ""))).status, 400);
    assert_eq!(send(&multipart(&PARTS.replace("name=\"a\"", "name='a'"))).status, 400);
    assert_eq!(send(&multipart(&format!("x\n{PARTS}"))).status, 400);
}

#[test]
fn bodies_of_other_types_are_kept_whole() {
    let seen = Request::post("application/octet-stream", "a=<script>")
        .against("SecRequestBodyAccess On\nSecRule REQUEST_BODY \"@rx <script\" \"id:1,phase:2,deny\"");
    assert_eq!(seen.status, 403);
    let off = Request::post("application/octet-stream", "a=<script>")
        .against("SecRequestBodyAccess Off\nSecRule REQUEST_BODY \"@rx <script\" \"id:1,phase:2,deny\"");
    assert_eq!(off.status, 0);
}

#[test]
fn paths_into_xml_are_members_of_xml() {
    let rules = r#"
        SecRule REQUEST_HEADERS:Content-Type "@streq text/xml" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=XML"
        SecRule XML:/s:Envelope/item[text()] "@rx ^evil$" "id:2,phase:2,deny,xmlns:s='urn:soap',msg:'%{MATCHED_VAR_NAME}'"
        SecRule XML://item/@kind "@streq evil" "id:3,phase:2,deny"
        SecRule &XML:/s:Envelope/item[text()] "@eq 2" "id:4,phase:2,deny,xmlns:s=urn:soap"
    "#;
    let ids = |body: &str| {
        let seen = Request::post("text/xml", body).against(rules);
        (seen.ids(), seen.record.matches.first().map(|found| found.message.clone()).unwrap_or_default())
    };
    let soap = |inner: &str| format!("<x:Envelope xmlns:x='urn:soap'>{inner}</x:Envelope>");
    let name = "XML:/s:Envelope/item[text()]".to_owned();
    assert_eq!(ids(&soap("<item>e<![CDATA[vi]]>&#108;</item>")), (vec![2], name));
    assert_eq!(ids(&soap("<item kind='evil'/>")).0, [3]);
    assert_eq!(ids(&soap("<item>1</item><item>2</item>")).0, [4]);
    assert_eq!(ids("<Envelope><item>evil</item></Envelope>").0, [0_u32; 0]);
}

#[test]
fn paths_into_xml_that_mean_two_things_are_a_mistake() {
    for (rules, why) in [
        ("SecRule XML:/a[1] \"@rx x\" \"id:1\"", "is not understood"),
        ("SecRule XML:/s:a \"@rx x\" \"id:1\"", "no xmlns of the rule is s"),
        (
            "SecRule XML:/a \"@rx x\" \"id:1\"\nSecRule XML:/A \"@rx x\" \"id:2\"",
            "another rule has this path",
        ),
        ("SecRule ARGS \"@rx x\" \"id:1,xmlns:s\"", "xmlns takes prefix=href"),
        ("SecRule ARGS \"@rx x\" \"id:1,xmlns:s=soap\"", "an absolute URI"),
        ("SecRule XML:/*|!XML:/b \"@rx x\" \"id:1\"", "XML is looked at with"),
    ] {
        let mistakes = crate::common::compile(rules).unwrap_err().to_string();
        assert!(mistakes.contains(why), "{rules}: {mistakes}");
    }
}
