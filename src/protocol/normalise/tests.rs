use proptest::prelude::*;

use super::*;

fn read(facet: Facet, text: &str) -> Result<String, &'static str> {
    match facet.read(&Scalar::Text(text.to_owned())) {
        Ok(Scalar::Text(read)) => Ok(read),
        Ok(other) => panic!("{other:?}"),
        Err(why) => Err(why.as_str()),
    }
}

#[test]
fn paths_have_one_spelling() {
    for (text, expected) in [
        ("/", "/"),
        ("/.", "/"),
        ("/srv", "/srv/"),
        ("/srv/", "/srv/"),
        ("/srv//data///x", "/srv/data/x/"),
        ("/srv/./data/.", "/srv/data/"),
        ("/srv/data/../docs", "/srv/docs/"),
        ("/srv/..", "/"),
        ("/a/b/../../c", "/c/"),
        ("/srv/.hidden/..data/x..", "/srv/.hidden/..data/x../"),
        ("/srv/żółć 1", "/srv/żółć 1/"),
        ("/srv/50%/100% sure", "/srv/50%/100% sure/"),
        ("/srv/what?/#1/a;b/;c", "/srv/what?/#1/a;b/;c/"),
        ("/srv/a%20b", "/srv/a%20b/"),
        ("/srv/~/$HOME/-rf", "/srv/~/$HOME/-rf/"),
    ] {
        assert_eq!(read(Facet::Path, text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    for (text, says) in [
        ("", "absolute"),
        ("srv/data", "absolute"),
        ("./srv", "absolute"),
        ("../etc/passwd", "absolute"),
        ("~/x", "absolute"),
        (" /srv", "absolute"),
        ("file:///etc/passwd", "absolute"),
        ("C:/Windows", "absolute"),
        ("//server/share", "two slashes"),
        ("///etc", "two slashes"),
        ("/..", "leaves the root"),
        ("/../etc/passwd", "leaves the root"),
        ("/srv/../../etc/passwd", "leaves the root"),
        ("/./../x", "leaves the root"),
        ("/C:/Windows", "drive"),
        ("/x/../c|/boot.ini", "drive"),
        ("C:\\Windows", "backslash"),
        ("\\\\server\\share", "backslash"),
        ("/srv/data\\..\\..\\etc", "backslash"),
        ("/srv/data\0.txt", "control"),
        ("/srv/data\n/../x", "control"),
        ("/srv/\u{7f}", "control"),
        ("/srv/\u{85}", "control"),
        ("/srv/...", "dots and spaces"),
        ("/srv/....//x", "dots and spaces"),
        ("/srv/.. /etc", "dots and spaces"),
        ("/srv/ ", "dots and spaces"),
        ("/srv/..\u{a0}/etc", "dots and spaces"),
        ("/srv/\u{3000}", "dots and spaces"),
        ("/srv/data/..;/etc", "dots and spaces"),
        ("/srv/data/.;x=1/y", "dots and spaces"),
        ("/etc/passwd?/../../srv/data", "steps back over"),
        ("/etc/passwd#/../../srv/data", "steps back over"),
        ("/etc/passwd;/../../srv/data", "steps back over"),
        ("/etc/passwd%3f/../../srv/data", "steps back over"),
        ("/etc//../srv/data", "steps back and has two slashes"),
        ("/etc//x/../../srv/data", "steps back and has two slashes"),
        ("/srv/../etc//passwd", "steps back and has two slashes"),
        ("/srv/%2e%2e/etc", "percent-encoded"),
        ("/srv/%2E./etc", "percent-encoded"),
        ("/srv/..%2fetc", "percent-encoded"),
        ("/srv/..%5cetc", "percent-encoded"),
        ("/srv/%252e%252e/etc", "percent-encoded"),
        ("/srv/%25252e", "percent-encoded"),
        ("/srv/%25%32%65", "percent-encoded"),
        ("/srv/%%32%65", "percent-encoded"),
        ("/srv/x%00.txt", "percent-encoded"),
        ("/srv/x%0d%0a", "percent-encoded"),
        ("/srv/%c0%ae%c0%ae/etc", "percent-encoded"),
        ("/srv/%e0%80%ae/etc", "percent-encoded"),
        ("/srv/%ef%bc%8e%ef%bc%8e/etc", "percent-encoded"),
        ("/srv/%u002e%u002e/etc", "percent-encoded"),
        ("/srv/%25u002e", "percent-encoded"),
        ("/srv/%25252525252525252e", "percent-encoded"),
        ("/srv/\u{ff0e}\u{ff0e}/etc", "looks like"),
        ("/srv/..\u{ff0f}etc", "looks like"),
        ("/srv/..\u{2215}etc", "looks like"),
        ("/srv/..\u{2044}etc", "looks like"),
        ("/srv/\u{2024}\u{2024}/etc", "looks like"),
        ("/srv/\u{2025}/etc", "looks like"),
        ("/srv/..\u{ff3c}etc", "looks like"),
        ("/srv/\u{2100}", "looks like"),
        ("/srv/\u{ff05}2e\u{fe6a}2e/etc", "looks like"),
        ("/srv/..\u{a5}etc", "looks like"),
        ("/srv/..\u{20a9}etc", "looks like"),
        ("/srv/.\u{200b}./etc", "cannot be seen"),
        ("/srv/\u{202e}txt", "cannot be seen"),
        ("/srv/.\u{ad}.", "cannot be seen"),
    ] {
        let refused = read(Facet::Path, text).expect_err(text);
        assert!(refused.contains(says), "{text:?}: {refused}");
    }
    assert!(read(Facet::Path, &format!("/{}", "x".repeat(MAX_BYTES))).unwrap_err().contains("too long"));
}

#[test]
fn urls_have_one_spelling() {
    for (text, whole, host) in [
        ("https://api.acme.example", "https://api.acme.example/", "api.acme.example"),
        ("HTTPS://API.Acme.Example/A?B=c", "https://api.acme.example/A?B=c", "api.acme.example"),
        ("https://api.acme.example:443/", "https://api.acme.example/", "api.acme.example"),
        ("https://api.acme.example:8443/x", "https://api.acme.example:8443/x", "api.acme.example:8443"),
        ("http://api.acme.example:80/", "http://api.acme.example/", "http://api.acme.example"),
        ("http://api.acme.example:443/", "http://api.acme.example:443/", "http://api.acme.example:443"),
        ("https://a.example/@user/x@y?z=@//q:1", "https://a.example/@user/x@y?z=@//q:1", "a.example"),
        (
            "https://xn--bcher-kva.example/%C3%BC",
            "https://xn--bcher-kva.example/%C3%BC",
            "xn--bcher-kva.example",
        ),
        ("https://8.8.8.8/", "https://8.8.8.8/", "8.8.8.8"),
        ("https://[2606:4700:0::1111]/", "https://[2606:4700::1111]/", "[2606:4700::1111]"),
        ("https://[2606:4700::1111]:8443/", "https://[2606:4700::1111]:8443/", "[2606:4700::1111]:8443"),
        (
            "https://gitlab.example/a%2Fb/c..d/.well-known",
            "https://gitlab.example/a%2Fb/c..d/.well-known",
            "gitlab.example",
        ),
    ] {
        for (is_whole, facet) in
            [(true, Facet::Url), (true, Facet::PrivateUrl), (false, Facet::Host), (false, Facet::PrivateHost)]
        {
            let expected = if is_whole { whole } else { host };
            assert_eq!(read(facet, text).as_deref(), Ok(expected), "{text}");
        }
    }
}

#[test]
fn urls_that_readers_disagree_about_are_refused() {
    for text in [
        "",
        "api.acme.example",
        "//api.acme.example/",
        "https:api.acme.example/",
        "https:/api.acme.example/",
        "https:///api.acme.example/",
        "https://",
        "https:///",
        "https://:443/",
        " https://a.example/",
        "https://a.example/ ",
        "\thttps://a.example/",
        "ht\ntps://a.example/",
        "https://a.exa\tmple/",
        "https://a.example\r\n/",
        "https://a.example/\0",
        "ftp://a.example/",
        "file:///etc/passwd",
        "gopher://a.example/",
        "javascript://a.example/%0aalert(1)",
        "https://user@a.example/",
        "https://user:pass@a.example/",
        "https://@a.example/",
        "https://a.example@evil.example/",
        "https://a.example%40evil.example/",
        "https://a.example\\@evil.example/",
        "https://a.example\\.evil.example/",
        "https:\\\\a.example\\",
        "https://a.example#@evil.example/",
        "https://a.example/#x",
        "https://a.example?@evil.example/",
        "https://a.example;evil.example/",
        "https://a.example,evil.example/",
        "https://a.example&evil.example/",
        "https://a.example/<x>",
        "https://a.example/\"x\"",
        "https://a.example/{x}",
        "https://a.example/[x]",
        "https://a.example:/",
        "https://a.example:0/",
        "https://a.example:00443/",
        "https://a.example:+443/",
        "https://a.example:65536/",
        "https://a.example:99999999999999999999/",
        "https://a.example:443:443/",
        "https://a.example:x/",
        "https://a.example./",
        "https://a..example/",
        "https://.a.example/",
        "https://-a.example/",
        "https://a-.example/",
        "https://a_b.example/",
        "https://*.example/",
        "https://xn--example-/",
        "https://xn--/",
        "https://b\u{fc}cher.example/",
        "https://\u{24d0}.example/",
        "https://a\u{3002}example/",
        "https://evil.c\u{2100}.a.example/",
        "https://a.ex%61mple/",
        "https://%61.example/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0x/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://8.8.8.010/",
        "https://8.8.8.8.8/",
        "https://8.8.8.8./",
        "https://8.8.8.0x8/",
        "https://a.example.1/",
        "https://256.1.1.1/",
        "https://[::1",
        "https://::1/",
        "https://[::1]x/",
        "https://[fe80::1%25eth0]/",
        "https://[fe80::1%eth0]/",
        "https://[2606:4700::1111]443/",
        "https://[8.8.8.8]/",
        "https://[2606:4700::1111/",
        "https://a.example/../x",
        "https://a.example/x/./y",
        "https://a.example/%2e%2e/x",
        "https://a.example/%2E./x",
        "https://a.example/x/..%2fy",
        "https://a.example/x/..%5cy",
        "https://a.example/%252e%252e/x",
        "https://a.example/%25%32%65/x",
        "https://a.example/..;/admin",
        "https://a.example/..%3b/admin",
        "https://a.example/%c0%ae%c0%ae/",
        "https://a.example/x%00",
        "https://a.example/x%0d%0aHost:evil",
        "https://a.example/?x=%0d%0a",
        "https://a.example/%zz",
        "https://a.example/%",
        "https://a.example/%u002e",
        "https://0.0.0.0/",
        "https://255.255.255.255/",
        "https://224.0.0.1/",
        "https://198.18.0.1/",
        "https://192.0.0.192/",
        "https://[::]/",
        "https://[ff02::1]/",
        "https://[::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[2001:0:1::1]/",
    ] {
        assert!(read(Facet::PrivateUrl, text).is_err(), "{text}");
        assert!(read(Facet::Host, text).is_err() && read(Facet::Url, text).is_err(), "{text}");
    }
    let long = format!("https://{}.example/", "a.".repeat(130));
    assert!(read(Facet::PrivateUrl, &long).is_err());
    assert!(read(Facet::Url, &format!("https://a.example/{}", "x".repeat(MAX_BYTES))).is_err());
}

#[test]
fn private_places_are_for_private_urls_alone() {
    for host in [
        "localhost",
        "LOCALHOST",
        "app.localhost",
        "intranet",
        "metadata.google.internal",
        "printer.local",
        "router.home.arpa",
        "kubernetes.default.svc",
        "127.0.0.1",
        "10.0.0.1",
        "100.64.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "168.63.129.16",
        "[::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[::ffff:8.8.8.8]",
        "[64:ff9b::a9fe:a9fe]",
    ] {
        let text = format!("http://{host}:8080/latest/meta-data");
        assert_eq!(read(Facet::Url, &text), Err("leads to a private place"), "{host}");
        assert_eq!(read(Facet::Host, &text), Err("leads to a private place"), "{host}");
        assert!(read(Facet::PrivateUrl, &text).is_ok() && read(Facet::PrivateHost, &text).is_ok(), "{host}");
    }
    // Only the last parts make a name private.
    assert!(read(Facet::Url, "https://localhost.acme.example/").is_ok());
    assert!(read(Facet::Url, "https://notlocal.example/").is_ok());
}

#[test]
fn hosts_are_listed_as_urls_have_them() {
    for (text, expected) in [
        ("API.acme.example", "api.acme.example"),
        ("api.acme.example:443", "api.acme.example"),
        ("api.acme.example:8443", "api.acme.example:8443"),
        ("http://api.acme.example", "http://api.acme.example"),
        ("http://api.acme.example:80", "http://api.acme.example"),
        ("[2606:4700:0::1111]:8443", "[2606:4700::1111]:8443"),
    ] {
        assert_eq!(host(text, false).as_deref(), Ok(expected), "{text}");
        let url = if text.starts_with("http://") { text.to_owned() } else { format!("https://{text}") };
        assert_eq!(read(Facet::Host, &url).as_deref(), Ok(expected), "{text}");
    }
    for text in [
        "",
        "*",
        "*.acme.example",
        "https://api.acme.example",
        "api.acme.example/",
        "api.acme.example/v1",
        "user@api.acme.example",
        "b\u{fc}cher.example",
        "api.acme.example.",
        "2130706433",
        "api.acme.example?",
    ] {
        assert!(host(text, true).is_err(), "{text}");
    }
    assert_eq!(host("localhost:8080", true).as_deref(), Ok("localhost:8080"));
    assert!(host("localhost:8080", false).is_err());
}

#[test]
fn repositories_have_one_spelling() {
    for (text, expected) in [
        ("acme/web", "acme/web"),
        ("Acme/Web.git", "acme/web"),
        ("acme/.github", "acme/.github"),
        ("a/b-c_d.e", "a/b-c_d.e"),
    ] {
        assert_eq!(read(Facet::Repository, text).as_deref(), Ok(expected), "{text}");
    }
    for text in [
        "",
        "acme",
        "/web",
        "acme/",
        "acme/web/",
        "acme/web/tree",
        "../web",
        "acme/..",
        "acme/.",
        "acme/...",
        "acme/.git",
        "acme/..git",
        "acme/web.git.git",
        "-acme/web",
        "acme/-web",
        "acme/we b",
        "acme/web\n",
        "acme\\web",
        "acme/web%2f",
        "acme/w\u{e9}b",
        "https://github.com/acme/web",
        "git@github.com:acme/web",
    ] {
        assert!(read(Facet::Repository, text).is_err(), "{text}");
    }
    assert!(read(Facet::Repository, &format!("acme/{}", "x".repeat(300))).is_err());
}

#[test]
fn integers_have_one_spelling() {
    let read = |value: Scalar| Facet::Integer.read(&value).ok();
    let text = |text: &str| Scalar::Text(text.to_owned());
    for (value, expected) in [
        (Scalar::Int(7), 7),
        (text("7"), 7),
        (text("-7"), -7),
        (text("0"), 0),
        (text("9007199254740992"), 1 << 53),
        (Scalar::Int(-(1 << 53)), -(1 << 53)),
    ] {
        assert_eq!(read(value), Some(Scalar::Int(expected)));
    }
    for bad in ["", "+7", "07", "-0", " 7", "7 ", "7.0", "7e1", "0x7", "1_000", "\u{661}", "9007199254740993"]
    {
        assert_eq!(read(text(bad)), None, "{bad}");
    }
    // Not even looked at: that would be work which nobody counts.
    let long = text(&"0".repeat(MAX_BYTES + 1));
    assert_eq!(Facet::Integer.read(&long), Err(Refused("is too long")));
    assert_eq!(read(Scalar::Int((1 << 53) + 1)), None);
    assert_eq!(read(Scalar::Int(i64::MIN)), None);
    assert_eq!(read(Scalar::Bool(true)), None);
}

#[test]
fn names_of_facets_are_no_names_of_arguments() {
    for facet in Facet::ALL {
        let name = facet.of("target");
        assert_eq!(Facet::split(&name), Some(("target", facet)));
        assert!(name.parse::<ArgName>().is_err());
    }
    for bad in ["path", "path#", "path#Path", "path#path#path", "path#regex", "#"] {
        assert_eq!(Facet::split(bad), None, "{bad}");
    }
}

fn text() -> impl Strategy<Value = String> {
    let part = proptest::sample::select(vec![
        "/",
        "/",
        "..",
        ".",
        "a",
        "srv",
        "%2e",
        "%",
        "25",
        "\\",
        "https://",
        "http://",
        "a.example",
        ":",
        "443",
        "@",
        "#",
        "?",
        "[::1]",
        "127.0.0.1",
        ".git",
        "7",
        "-",
        "A",
        "\u{ff0e}",
        " ",
        ";",
        "localhost",
    ]);
    proptest::collection::vec(part, 0..10).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn what_was_read_once_is_read_the_same_again(text in prop_oneof![3 => text(), 1 => ".{0,40}"]) {
        for facet in Facet::ALL {
            let Ok(first) = facet.read(&Scalar::Text(text.clone())) else { continue };
            let again = match (&first, facet) {
                (Scalar::Text(host), Facet::Host) => super::host(host, false).map(Scalar::Text),
                (Scalar::Text(host), Facet::PrivateHost) => super::host(host, true).map(Scalar::Text),
                _ => facet.read(&first),
            };
            prop_assert_eq!(again, Ok(first), "{}", text);
        }
    }

    #[test]
    fn a_path_that_was_read_has_nothing_left_to_resolve(text in text()) {
        let Ok(path) = read(Facet::Path, &text) else { return Ok(()) };
        prop_assert!(path.starts_with('/') && path.ends_with('/') && !path.contains("//"));
        prop_assert!(path.split('/').all(|part| part != "." && part != ".."));
    }

    #[test]
    fn a_public_url_never_holds_a_private_address(a in any::<[u8; 4]>(), port in 1u16..) {
        let ip = core::net::Ipv4Addr::from(a);
        let class = crate::address::class(ip.into());
        let taken = read(Facet::Url, &format!("https://{ip}:{port}/"));
        prop_assert_eq!(taken.is_ok(), class == crate::address::Class::Public);
    }
}
