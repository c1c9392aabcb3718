//! The spellings by which paths and URLs are known to slip through checks of their text.

use serde_json::json;

use super::{REFUSED, each, granted, start, texts};

#[tokio::test]
async fn paths_are_not_fooled() {
    let (world, issuer) = start().await;
    let (answer, tool) = granted(&world, &issuer).await;
    let (token, under) = (answer.token(), ("files.read", "path"));
    let good =
        ["/srv/data", "/srv/data/a.txt", "/srv/data/./b/../c/", "/x/../srv/data/100%", "/srv/data/..a"];
    each(&tool, token, under, &texts(good), "allowed");
    let elsewhere = ["/", "/srv", "/srv/database", "/srv/data/../other", "/SRV/data", "/etc/passwd"];
    each(&tool, token, under, &texts(elsewhere), REFUSED);
    let hostile = [
        "/srv/data/../../etc/passwd",
        "/srv/data/../../../../etc/passwd",
        "/srv/data/%2e%2e/%2e%2e/etc/passwd",
        "/srv/data/%2E%2E%2fetc",
        "/srv/data/..%2f..%2fetc/passwd",
        "/srv/data/%252e%252e%252fetc",
        "/srv/data/%25252e%25252e/x",
        "/srv/data/%c0%ae%c0%ae/x",
        "/srv/data/..%c0%af..%c0%afetc",
        "/srv/data/%u002e%u002e/x",
        "/srv/data/..\\..\\etc\\passwd",
        "/srv/data/..%5c..%5cetc",
        "/srv/data/a\0.txt",
        "/srv/data/a%00.txt",
        "/srv/data/a\nb",
        "/srv/data/\u{ff0e}\u{ff0e}/x",
        "/srv/data/\u{2024}\u{2024}/x",
        "/srv/data/..\u{2215}..\u{2215}etc",
        "/srv/data/.\u{200b}./x",
        "/srv/data/.../x",
        "/srv/data/.. /x",
        "//srv/data/a",
        "\\\\srv\\data",
        "C:/srv/data",
        "/c:/srv/data",
        "file:///srv/data",
        "srv/data/a",
        "./srv/data",
        "~/srv/data",
        " /srv/data",
        "",
    ];
    each(&tool, token, under, &texts(hostile), REFUSED);
    each(
        &tool,
        token,
        under,
        &[json!(["/srv/data"]), json!(7), json!(null), json!({}), json!(true)],
        REFUSED,
    );
    assert_eq!(tool.check(token, "files.read", &json!({})), REFUSED);
    for args in [
        json!({ "path": "/etc/shadow", "path#path": "/srv/data/" }),
        json!({ "path#path": "/srv/data/" }),
        json!({ "path": "/srv/data", "path#path": "/srv/data/" }),
    ] {
        assert_eq!(tool.check(token, "files.read", &args), REFUSED, "{args}");
    }
    each(
        &tool,
        token,
        ("files.write", "path"),
        &texts(["/srv/data/out", "/srv/log/", "//srv/log"])[..2],
        "allowed",
    );
    each(&tool, token, ("files.write", "path"), &texts(["/srv/data/out/x", "/srv/log/../data"]), REFUSED);
}

/// What no URL of the public internet is, to one reader or another.
pub(super) const URLS: [&str; 53] = [
    "http://169.254.169.254/latest/meta-data/",
    "https://169.254.169.254/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0xa9.0xfe.0xa9.0xfe/",
    "http://0251.0376.0251.0376/",
    "http://169.254.43518/",
    "http://169.16689662/",
    "http://425.510.425.510/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[::169.254.169.254]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1%25eth0]/",
    "http://metadata.google.internal/",
    "http://127.0.0.1/",
    "http://127.1/",
    "http://127.0.0.1:6379/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://017700000001/",
    "http://0/",
    "http://0.0.0.0/",
    "http://[::1]/",
    "http://[::]/",
    "http://localhost/",
    "http://LOCALHOST/",
    "http://localhost./",
    "http://a.localhost/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://[fc00::1]/",
    "http://intranet/",
    "http://db.svc.cluster.local/",
    "http://user@a.example/",
    "http://user:secret@a.example/",
    "https://a.example@127.0.0.1/",
    "https://a.example:443@127.0.0.1/",
    "https://a.example#@127.0.0.1/",
    "https://a.example\\@127.0.0.1/",
    "https://127.0.0.1\\.a.example/",
    "https://a.example%2f@127.0.0.1/",
    "https://\u{2460}\u{2461}\u{2466}.0.0.1/",
    "https://127\u{3002}0\u{3002}0\u{3002}1/",
    "http:127.0.0.1/",
    "http:///127.0.0.1/",
    "//169.254.169.254/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
    "https://a.example/\r\nHost: 127.0.0.1",
];

#[tokio::test]
async fn urls_are_not_fooled() {
    let (world, issuer) = start().await;
    let (answer, tool) = granted(&world, &issuer).await;
    let token = answer.token();
    let good = [
        "https://api.acme.example/v1?q=%2F",
        "HTTPS://API.ACME.example:443",
        "https://docs.acme.example:8443/",
        "http://news.acme.example:80/",
    ];
    each(&tool, token, ("pages.fetch", "url"), &texts(good), "allowed");
    let others = [
        "http://api.acme.example/",
        "https://api.acme.example:8443/",
        "https://docs.acme.example/",
        "https://news.acme.example/",
        "https://evil.example/",
        "https://api.acme.example.evil.example/",
        "https://evilapi.acme.example/",
        "https://api.acme.example@evil.example/",
        "https://evil.example/@api.acme.example/",
        "https://evil.example?api.acme.example",
        "https://evil.example#api.acme.example",
        "https://api.acme.example:443:80/",
        "https://api.acme.example:@evil.example/",
        "https://api.acme.example\\.evil.example/",
        "https://api.acme.example%00.evil.example/",
        "https://api.acme.example%2eevil.example/",
        "https://api.acme.example\t/",
        "https://api.acme\u{ff0e}example/",
        "https://api.acme.example./",
    ];
    each(&tool, token, ("pages.fetch", "url"), &texts(others), REFUSED);
    let pinned = ["https://status.acme.example", "https://Status.acme.example:443/"];
    each(&tool, token, ("pages.pin", "url"), &texts(pinned), "allowed");
    each(&tool, token, ("pages.pin", "url"), &texts(["https://status.acme.example/x"]), REFUSED);
    each(
        &tool,
        token,
        ("hooks.call", "url"),
        &texts(["http://127.0.0.1:8080/x", "http://queue/"]),
        "allowed",
    );
    let inside = [
        "http://127.0.0.1/",
        "http://127.1:8080/",
        "http://2130706433:8080/",
        "http://[::ffff:127.0.0.1]:8080/",
    ];
    each(&tool, token, ("hooks.call", "url"), &texts(inside), REFUSED);
    for verb in ["pages.fetch", "pages.pin", "hooks.call"] {
        each(&tool, token, (verb, "url"), &texts(URLS), REFUSED);
    }
}
