//! Takes the pictures of the console that README.md shows, of a broker on which two days have passed. `scripts/screenshots`
//! builds and runs it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a picture that cannot be taken is told of"
)]

#[path = "../e2e/acknowledged/client.rs"]
#[allow(dead_code, clippy::indexing_slicing, clippy::unwrap_used, reason = "what else tests say with it")]
mod client;
mod scene;

use std::path::{Path, PathBuf};

use scene::Scene;
use shortbread_tests::{Browser, Look};

/// No picture takes longer to load than this.
const MOST: usize = 150_000;

#[tokio::main]
async fn main() {
    let folder = std::env::args().nth(1).map(PathBuf::from).expect("usage: shortbread-pictures FOLDER");
    let scene = Scene::set().await;
    let desk = Browser::with(Look::default().high(940)).await;
    desk.open(&scene.world, "/console/sign-in").await;
    keep(&folder, "sign-in", &desk.picture().await);
    desk.sign_in(&scene.world, "alice").await;
    for (name, path) in scene.pages() {
        desk.open(&scene.world, &path).await;
        let made = "return !/being (made|counted)/.test(document.body.innerText)";
        desk.wait_until(made, &[]).await;
        keep(&folder, name, &desk.picture().await);
    }
    let phone = Browser::with(Look::phone(390).high(740).dark()).await;
    phone.sign_in(&scene.world, "alice").await;
    phone.open(&scene.world, &scene.approval()).await;
    keep(&folder, "approval-phone", &phone.picture().await);
}

fn keep(folder: &Path, name: &str, picture: &[u8]) {
    assert!(picture.len() < MOST, "{name}: {} bytes", picture.len());
    let path = folder.join(format!("{name}.png"));
    std::fs::write(&path, picture).expect("a picture is written");
    println!("{} {} kB", path.display(), picture.len() / 1000);
}
