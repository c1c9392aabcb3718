//! How a browser looks at pages.

use serde_json::{Map, Value, json};

/// How a browser looks at pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) is_phone: bool,
    pub(super) is_dark: bool,
    pub(super) script: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self { width: 1280, height: 900, is_phone: false, is_dark: false, script: true }
    }
}

impl Look {
    /// As on a phone of this width, in its own pixels.
    #[must_use]
    pub fn phone(width: u32) -> Self {
        Self { width, height: 844, is_phone: true, ..Self::default() }
    }

    /// Where dark pages are wished for.
    #[must_use]
    pub const fn dark(self) -> Self {
        Self { is_dark: true, ..self }
    }

    /// Without scripts.
    #[must_use]
    pub const fn no_script(self) -> Self {
        Self { script: false, ..self }
    }

    /// So high, in pixels.
    #[must_use]
    pub const fn high(self, height: u32) -> Self {
        Self { height, ..self }
    }

    /// What WebDriver asks for.
    pub(super) fn capabilities(self, profile: &str) -> Map<String, Value> {
        let size = format!("--window-size={},{}", self.width, self.height);
        let (profile, scheme) = (format!("--user-data-dir={profile}"), u8::from(!self.is_dark));
        let scheme = format!("--blink-settings=preferredColorScheme={scheme}");
        let args = json!([
            "--headless=new",
            // Chromium wants it where root starts it. The pages are our own.
            "--no-sandbox",
            "--no-proxy-server",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            // It ends when the driver does, whatever ends that.
            "--remote-debugging-pipe",
            "--lang=en-GB",
            profile,
            size,
            scheme,
        ]);
        let mut options = json!({ "args": args });
        if self.is_phone {
            let metrics = json!({ "width": self.width, "height": self.height, "pixelRatio": 2, "touch": true, "mobile": true });
            options["mobileEmulation"] = json!({ "deviceMetrics": metrics });
        }
        let all = json!({
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "pageLoad": 20_000, "script": 20_000 },
        });
        all.as_object().cloned().unwrap_or_default()
    }
}
