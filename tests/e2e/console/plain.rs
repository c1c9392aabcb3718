//! Somebody who is signed in without a browser, so that a test sees and says every header itself.

use shortbread_tests::{Answer, World};

const FORM: &str = "application/x-www-form-urlencoded";

/// Somebody who is signed in.
pub(super) struct Plain {
    pub(super) cookie: String,
}

/// The text of a page.
pub(super) fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.bytes).into_owned()
}

/// What `Set-Cookie` says, up to the first semicolon.
pub(super) fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned()
}

/// Presses the button of a link.
pub(super) async fn press(world: &World, link: &str) -> Answer {
    world.send(world.http.post(link).header("origin", &world.issuer)).await
}

impl Plain {
    /// Signs an operator in by a link.
    pub(super) async fn sign_in(world: &World, name: &str) -> Self {
        let pressed = press(world, &world.console_link(name).await).await;
        assert_eq!(pressed.status, 303, "{pressed:?}");
        Self { cookie: cookie(&pressed) }
    }

    /// Looks at a page.
    pub(super) async fn get(&self, world: &World, path: &str) -> Answer {
        let request = world.http.get(format!("{}{path}", world.issuer));
        world.send(request.header("cookie", &self.cookie)).await
    }

    /// The value of the first field of this name on a page.
    pub(super) async fn field(&self, world: &World, path: &str, name: &str) -> String {
        let page = text(&self.get(world, path).await);
        let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\"")).expect("a field");
        rest.split('"').next().unwrap_or_default().to_owned()
    }

    /// Posts a form with these headers beside the cookie.
    pub(super) async fn post_with(
        &self,
        world: &World,
        path: &str,
        headers: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> Answer {
        let escape = |text: &str| text.bytes().map(|b| format!("%{b:02x}")).collect::<String>();
        let pairs: Vec<String> = fields.iter().map(|(n, v)| format!("{}={}", escape(n), escape(v))).collect();
        let request = world.http.post(format!("{}{path}", world.issuer)).body(pairs.join("&"));
        let request = request.header("cookie", &self.cookie);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        world.send(request).await
    }

    /// Posts a form as a page of the console does.
    pub(super) async fn post(&self, world: &World, path: &str, fields: &[(&str, &str)]) -> Answer {
        let headers = [("origin", world.issuer.as_str()), ("content-type", FORM)];
        self.post_with(world, path, &headers, fields).await
    }
}
