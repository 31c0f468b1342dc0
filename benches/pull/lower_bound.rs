//! The least that anybody must do: fetch the same pages and read the same JSON.

use serde::de::IgnoredAny;

pub(crate) fn run(arguments: &[String]) {
    let [opa, opsera] = arguments else {
        eprintln!("usage: --lower-bound OPA OPSERA");
        return;
    };
    // Only where another crate has not installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let client = reqwest::Client::builder()
            .build()
            .expect("a client without settings");
        let (people, accounts) =
            tokio::join!(read_people(&client, opa), read_accounts(&client, opsera));
        println!("{people} bytes of OPA, {accounts} bytes of Opsera");
    });
}

async fn read_people(client: &reqwest::Client, opa: &str) -> usize {
    let mut bytes = 0;
    let mut next = Some(format!("{opa}/v1/teams/bench/users?count=1000"));
    while let Some(url) = next {
        let answer = client.get(url).send().await.expect("a page");
        let link = answer.headers().get("link").cloned();
        let body = answer.bytes().await.expect("a body");
        let _: IgnoredAny = serde_json::from_slice(&body).expect("it is JSON");
        bytes += body.len();
        next = link.and_then(|link| {
            let link = link.to_str().ok()?;
            let (url, _) = link.strip_prefix('<')?.split_once('>')?;
            Some(url.to_owned())
        });
    }
    bytes
}

async fn read_accounts(client: &reqwest::Client, opsera: &str) -> usize {
    let url = format!("{opsera}/api/v2/usermanagement/users");
    let answer = client.get(url).send().await.expect("the array");
    let body = answer.bytes().await.expect("a body");
    let _: IgnoredAny = serde_json::from_slice(&body).expect("it is JSON");
    body.len()
}
