//! Who may push: Ed25519 signatures over HTTP, by hand and by the command.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use offerd::control::registry::message;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::json;

use super::models::Model;
use super::process::Process;
use super::{Server, ask_demo, config};

const CREATED: &str = "2026-11-20T08:00:00Z";

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

/// The part `signature` of a push.
fn signed(by: u8, model: &Model, manifest: &str) -> String {
    let word = |key: &str| model.manifest[key].as_str().unwrap();
    let text = message(word("name"), word("version"), manifest, CREATED);
    let signature = STANDARD.encode(pair(by).sign(text.as_bytes()));
    json!({ "created": CREATED, "signature": signature }).to_string()
}

/// Goal: with keys configured, only what one of them signed is taken in, byte for byte.
#[tokio::test]
async fn only_signed_models_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    let public = STANDARD.encode(pair(1).public_key());
    config.models.signing_keys = vec![public];
    let server = Server::start(config).await;
    let client = &server.client;
    let model = Model::linear("1");
    let manifest = model.manifest.to_string();
    let other = signed(1, &Model::linear("2"), &manifest);
    let cases = [
        ("none", None),
        ("no JSON", Some("MEUCIQ".to_owned())),
        ("unknown key", Some(signed(2, &model, &manifest))),
        (
            "other manifest",
            Some(signed(1, &model, &format!("{manifest}\n"))),
        ),
        ("other version", Some(other)),
        (
            "half of it",
            Some(json!({ "created": CREATED, "signature": "AAAA" }).to_string()),
        ),
    ];
    for (what, signature) in cases {
        let mut parts = vec![
            ("manifest", manifest.as_bytes()),
            ("artifact", &*model.artifact),
        ];
        let signature = signature.map(String::into_bytes);
        parts.extend(signature.as_deref().map(|bytes| ("signature", bytes)));
        let answer = client.put_parts(&model.path(), &parts).await;
        assert!(answer.status.is_client_error(), "{what}: {}", answer.json());
        assert_eq!(
            answer.json()["field"],
            "signature",
            "{what}: {}",
            answer.json()
        );
    }
    let listed = client.admin_get("/v1/models").await;
    assert_eq!(listed["models"].as_array().unwrap().len(), 1, "{listed}");
    let signature = signed(1, &model, &manifest);
    let parts = [
        ("manifest", manifest.as_bytes()),
        ("artifact", &*model.artifact),
        ("signature", signature.as_bytes()),
    ];
    client.put_parts(&model.path(), &parts).await.ok();
    assert_eq!(client.decide(&ask_demo("c")).await["model"], "pushed@1");
    // The signature covers the manifest, and the manifest names the artifact's digest.
    let forged = Model::linear("3");
    let manifest = forged.manifest.to_string();
    let signature = signed(1, &forged, &manifest);
    let parts = [
        ("manifest", manifest.as_bytes()),
        (
            "artifact",
            b"{\"intercept\":0,\"coefficients\":[]}".as_slice(),
        ),
        ("signature", signature.as_bytes()),
    ];
    let answer = client.put_parts(&forged.path(), &parts).await;
    assert_eq!(
        answer.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        answer.json()
    );
    server.stop().await;
}

/// Goal: `offerd model push --sign` makes what the server asks for, from a key as OpenSSL writes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_signs() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.models.signing_keys = vec![STANDARD.encode(pair(9).public_key())];
    let server = Server::start(config).await;
    // PKCS #8, version 1: the 16 bytes before every Ed25519 seed (RFC 8410, section 7).
    let mut key = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    key.extend_from_slice(&[9; 32]);
    let path = dir.path().join("key.der");
    std::fs::write(&path, key).unwrap();
    let folder = format!("{}/models/propensity-linear", env!("CARGO_MANIFEST_DIR"));
    let admin = format!("http://{}", server.client.admin);
    let push = |sign: Option<String>| {
        let mut all = vec![
            "model".into(),
            "push".into(),
            folder.clone(),
            "--admin".into(),
            admin.clone(),
        ];
        all.extend(
            sign.into_iter()
                .flat_map(|path| ["--sign".to_owned(), path]),
        );
        tokio::task::spawn_blocking(move || {
            Process::run(&all.iter().map(String::as_str).collect::<Vec<_>>())
        })
    };
    let said = push(None).await.unwrap();
    assert!(
        said.code == 1 && said.stderr.contains("signature"),
        "{said:?}"
    );
    let said = push(Some(path.to_str().unwrap().to_owned())).await.unwrap();
    assert_eq!(said.code, 0, "{said:?}");
    server.stop().await;
}
