//! TLS at the listeners themselves.

use std::fs;
use std::io::{Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::support::http::connect;
use crate::support::market::{CALLER, KEY, NUMBER};
use crate::support::{Exchange, Folder, Market, eventually, outcry};

fn market() -> Market {
    Market::new(r#""desk""#).buyer("acme", "").target("desk", "acme", "price = \"20.00\"")
}

/// One request over TLS; status line and body.
fn ask(address: &str, config: &Arc<ClientConfig>, request: &str) -> (String, Value) {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, connect(address));
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    // A peer that ends without a close_notify has said everything all the same.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), serde_json::from_str(body).unwrap())
}

#[test]
fn both_listeners_end_tls() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = Folder::new();
    market().write(folder.path(), "");
    fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let settings = folder.path().join("outcry.toml");
    let tls = "tls = { cert_file = \"cert.pem\", key_file = \"key.pem\" }\n";
    let text = fs::read_to_string(&settings).unwrap();
    let text = text.replace("[call_traffic]\n", &format!("[call_traffic]\n{tls}"));
    fs::write(&settings, text.replace("[admin]\n", &format!("[admin]\n{tls}"))).unwrap();
    let mut exchange = Exchange::run(folder);

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);

    // Who speaks plainly gets no answer, and harms nobody.
    let mut plain = connect(&exchange.traffic);
    plain.write_all(b"POST /v1/route HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    let _ = plain.read_to_end(&mut bytes);
    assert!(!bytes.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&bytes));

    let body = json!({"carrier_call_id": "CA1", "to": NUMBER, "from": CALLER}).to_string();
    let post = |path: &str, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            body.len()
        )
    };
    let (status, answer) = ask(&exchange.traffic, &config, &post("/v1/route", &body));
    assert_eq!((status.as_str(), &answer["reason"]), ("HTTP/1.1 200 OK", &json!("static")));
    let url = answer["events"].as_str().unwrap();
    assert!(url.starts_with(&format!("https://{}/", exchange.traffic)), "{url}");
    let end = json!({"event_id": "e", "type": "ended", "attempt": 1, "at": "2026-11-20T09:00:00Z", "cause": "busy"});
    let path = Exchange::events_path(&answer);
    assert_eq!(ask(&exchange.traffic, &config, &post(&path, &end.to_string())).0, "HTTP/1.1 200 OK");

    let get = "GET /api/v1/calls HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let calls = eventually("the call is in the store", || {
        let (status, page) = ask(&exchange.admin, &config, get);
        assert_eq!(status, "HTTP/1.1 200 OK");
        (page["calls"][0]["end_reason"] == "busy").then_some(page)
    });
    assert_eq!(calls["calls"][0]["call_id"], answer["call_id"]);
    exchange.stop();
}

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let folder = Folder::new();
    market().write(folder.path(), "");
    let settings = folder.path().join("outcry.toml");
    let tls = "tls = { cert_file = \"cert.pem\", key_file = \"key.pem\" }\n";
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text.replace("[call_traffic]\n", &format!("[call_traffic]\n{tls}"))).unwrap();
    let serve = || outcry(&["serve", "--config", settings.to_str().unwrap()]);
    // Files that are not there are a fault of the configuration, both at once.
    let output = serve();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("cert.pem") && said.contains("key.pem"), "{said}");
    // So are files that hold something else.
    for name in ["cert.pem", "key.pem"] {
        fs::write(folder.path().join(name), "no certificate\n").unwrap();
    }
    let output = serve();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{said}");
    for (key, allowed) in [("cert_file", "at least one certificate"), ("key_file", "a private key")] {
        assert!(said.contains(&format!("call_traffic.tls.{key}")) && said.contains(allowed), "{said}");
    }
    // A key of another certificate is found at the start.
    let made = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(folder.path().join("cert.pem"), made().cert.pem()).unwrap();
    fs::write(folder.path().join("key.pem"), made().signing_key.serialize_pem()).unwrap();
    let output = serve();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot be used for TLS"), "{said}");
}

#[test]
fn off_loopback_plain_http_is_refused_before_anything_starts() {
    let folder = Folder::new();
    market().write(folder.path(), "");
    let settings = folder.path().join("outcry.toml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text.replace("127.0.0.1:0", "0.0.0.0:0")).unwrap();
    let output = outcry(&["check", "--config", settings.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{said}");
    // Both listeners are plain, and the admin listener has no key.
    assert!(
        said.matches("plain HTTP on 0.0.0.0:0").count() == 2 && said.contains("there is no key"),
        "{said}"
    );
    assert!(said.contains("behind_proxy"), "{said}");
}
