//! A real browser, headless Chromium, driven over WebDriver and ended with the test that opened it.

mod driver;
mod look;

pub use self::look::Look;
pub use fantoccini::key::Key;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fantoccini::{Client, Locator};
use serde_json::{Value, json};
use shortbread_protocol::clock::{Clock as _, SystemClock};

use self::driver::Driver;
use crate::provider::installed;
use crate::world::World;

/// How long a page may take to become what is waited for.
const PATIENCE: Duration = Duration::from_secs(15);
const TICK: Duration = Duration::from_millis(40);

/// A browser with one window and a profile of its own. Dropping it ends it.
pub struct Browser {
    client: Client,
    session: String,
    driver: Driver,
    clock: SystemClock,
}

impl Browser {
    /// One as on a desk: wide, light, with scripts.
    ///
    /// # Panics
    /// When Chromium or its driver is not installed or does not start.
    pub async fn start() -> Self {
        Self::with(Look::default()).await
    }

    /// One that looks as told.
    ///
    /// # Panics
    /// As [`Browser::start`].
    pub async fn with(look: Look) -> Self {
        let driver = Driver::start();
        let client = driver.open(&look).await;
        let session = client.session_id().await.expect("a session").expect("its id");
        let browser = Self { client, session, driver, clock: SystemClock::start() };
        if !look.script {
            let off = json!({ "value": true });
            browser.chrome("Emulation.setScriptExecutionDisabled", off).await;
        }
        browser
    }

    /// Opens a URL.
    ///
    /// # Panics
    /// When it does not load. So does everything below when the page is not as it has to be.
    pub async fn go(&self, url: &str) {
        self.client.goto(url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// Opens a path of a world's broker.
    pub async fn open(&self, world: &World, path: &str) {
        self.go(&format!("{}{path}", world.issuer)).await;
    }

    /// Signs an operator in by a link, and lands on the first page.
    pub async fn sign_in(&self, world: &World, name: &str) {
        self.go(&world.console_link(name).await).await;
        self.press(&format!("Sign in as {name}")).await;
        self.wait_for(".who", name).await;
    }

    /// Where it is.
    pub async fn url(&self) -> String {
        self.client.current_url().await.expect("a URL").to_string()
    }

    /// Path and query of where it is.
    pub async fn path(&self) -> String {
        let url = self.client.current_url().await.expect("a URL");
        url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
    }

    /// Clicks the first element of a CSS selector.
    pub async fn click(&self, css: &str) {
        let found = self.client.find(Locator::Css(css)).await;
        let done = match found {
            Ok(found) => found.click().await,
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            panic!("{css}: {error}\n{}", self.text().await);
        }
    }

    /// Presses the button with this text.
    pub async fn press(&self, text: &str) {
        self.press_by(&format!("//button[normalize-space()='{text}']")).await;
    }

    /// Follows the link with this text, or one that begins with it.
    pub async fn follow(&self, text: &str) {
        self.press_by(&format!("//a[starts-with(normalize-space(), '{text}')]")).await;
    }

    /// Clicks the first element of an XPath.
    pub async fn press_by(&self, path: &str) {
        let found = self.client.find(Locator::XPath(path)).await;
        let done = match found {
            Ok(found) => found.click().await,
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            panic!("{path}: {error}\n{}", self.text().await);
        }
    }

    /// Writes into the field of a CSS selector, in place of what is there.
    pub async fn fill(&self, css: &str, text: &str) {
        let field = self.client.find(Locator::Css(css)).await.unwrap_or_else(|e| panic!("{css}: {e}"));
        field.clear().await.unwrap_or_else(|error| panic!("{css}: {error}"));
        field.send_keys(text).await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Presses a key, wherever the focus is.
    pub async fn key(&self, key: Key) {
        self.keys(&char::from(key).to_string()).await;
    }

    /// Types a text, wherever the focus is.
    pub async fn keys(&self, text: &str) {
        let active = self.client.active_element().await.expect("an element with the focus");
        active.send_keys(text).await.expect("keys are pressed");
    }

    /// Lets its reader wish for dark pages, or for light ones.
    pub async fn prefer_dark(&self, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.chrome("Emulation.setEmulatedMedia", media).await;
    }

    /// All text in the first frame of this page.
    ///
    /// # Panics
    /// When there is none.
    pub async fn in_frame(&self) -> String {
        self.client.enter_frame(0).await.expect("a frame");
        let text = self.text().await;
        self.client.enter_parent_frame().await.expect("the page");
        text
    }

    /// All text that a reader sees.
    pub async fn text(&self) -> String {
        self.script("return document.body.innerText", &[]).await.as_str().unwrap_or_default().to_owned()
    }

    /// The texts of all elements of a CSS selector.
    pub async fn texts(&self, css: &str) -> Vec<String> {
        let all = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText.trim())";
        let all = self.script(all, &[json!(css)]).await;
        serde_json::from_value(all).expect("texts")
    }

    /// Waits until an element of a CSS selector says this.
    ///
    /// # Panics
    /// When none does in time.
    pub async fn wait_for(&self, css: &str, text: &str) {
        let some = "return [...document.querySelectorAll(arguments[0])].some((one) => one.innerText.includes(arguments[1]))";
        self.wait_until(some, &[json!(css), json!(text)]).await;
    }

    /// Waits until a script returns true.
    ///
    /// # Panics
    /// When it does not in time.
    pub async fn wait_until(&self, script: &str, args: &[Value]) {
        let until = self.clock.monotonic() + PATIENCE;
        // While another page comes in there is none to ask.
        while !self.client.execute(script, args.to_vec()).await.is_ok_and(|said| said == true) {
            if until < self.clock.monotonic() {
                panic!("{script} {args:?} at {}: {}", self.url().await, self.text().await);
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Runs the body of a function with these arguments.
    ///
    /// # Panics
    /// When it throws.
    pub async fn script(&self, script: &str, args: &[Value]) -> Value {
        let said = self.client.execute(script, args.to_vec()).await;
        said.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// What the browser wrote on its console since it was asked last: errors of scripts, loads that failed, whatever the
    /// content security policy stopped.
    ///
    /// # Panics
    /// When it does not say.
    pub async fn complaints(&self) -> Vec<String> {
        let said = self.driver.ask(&self.session, "se/log", &json!({ "type": "browser" })).await;
        let lines = said.as_array().cloned().unwrap_or_default();
        lines.iter().map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The cookies of this page: name, value, whether scripts see it, and `SameSite`.
    ///
    /// # Panics
    /// When it does not say.
    pub async fn cookies(&self) -> Vec<Value> {
        let said = self.chrome("Network.getCookies", json!({})).await;
        said["cookies"].as_array().cloned().unwrap_or_default()
    }

    /// What axe-core finds wrong with this page that is serious or critical: rule, impact and elements.
    ///
    /// # Panics
    /// When axe-core is not installed or does not run.
    pub async fn barriers(&self) -> Vec<String> {
        self.found_by_axe(json!({})).await
    }

    /// The same of how well texts stand out from what is behind them, which alone depends on the scheme.
    ///
    /// # Panics
    /// As [`Browser::barriers`].
    pub async fn faint(&self) -> Vec<String> {
        self.found_by_axe(json!({ "runOnly": ["color-contrast"] })).await
    }

    async fn found_by_axe(&self, options: Value) -> Vec<String> {
        let path = installed().join("node_modules/axe-core/axe.min.js");
        let axe = std::fs::read_to_string(&path);
        let axe = axe.unwrap_or_else(|error| panic!("{}: {error}; tests/console/install", path.display()));
        // Once a page.
        self.script(&format!("if (!window.axe) {{ {axe} }}"), &[]).await;
        let run = "return axe.run(document, { resultTypes: ['violations'], ...arguments[0] }).then((found) => found.violations
            .filter((one) => ['serious', 'critical'].includes(one.impact))
            .map((one) => `${one.impact} ${one.id}: ` + one.nodes.map((node) => `${node.html} ${node.failureSummary}`).join('; ')))";
        let found = self.script(run, &[options]).await;
        serde_json::from_value(found).expect("what axe-core found")
    }

    /// A picture of what is seen, as PNG.
    ///
    /// # Panics
    /// When there is none.
    pub async fn picture(&self) -> Vec<u8> {
        self.client.screenshot().await.expect("a picture")
    }

    /// A picture of the whole page, as PNG.
    ///
    /// # Panics
    /// When there is none.
    pub async fn whole_picture(&self) -> Vec<u8> {
        let said = json!({ "format": "png", "captureBeyondViewport": true });
        let said = self.chrome("Page.captureScreenshot", said).await;
        STANDARD.decode(said["data"].as_str().unwrap_or_default()).expect("a picture")
    }

    /// Sends a command of Chrome's own protocol.
    async fn chrome(&self, command: &str, params: Value) -> Value {
        let body = json!({ "cmd": command, "params": params });
        self.driver.ask(&self.session, "goog/cdp/execute", &body).await
    }
}
