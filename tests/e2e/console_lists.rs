//! Whatever the console can do, the admin API and the command line can do too: held against the routes, the API's
//! description and the program itself.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;
use shortbread_broker::console::{ABILITIES, OWN};
use shortbread_broker::http::document;
use shortbread_tests::process::program;

/// Every route of the description, as `GET /console/switch`.
fn routes() -> BTreeSet<String> {
    let document = serde_json::to_value(document()).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let of = |(path, methods): (&String, &Value)| {
        let methods = methods.as_object().unwrap().keys().map(|method| method.to_uppercase());
        methods.map(|method| format!("{method} {path}")).collect::<Vec<_>>()
    };
    paths.flat_map(of).collect()
}

#[test]
fn every_page_of_the_console_is_in_the_list_and_nothing_else_is() {
    let served = routes().into_iter().filter(|route| route.contains(" /console"));
    let listed = ABILITIES.iter().map(|(route, ..)| *route).chain(OWN.iter().copied());
    let (served, listed): (BTreeSet<String>, BTreeSet<String>) =
        (served.collect(), listed.map(str::to_owned).collect());
    assert_eq!(served, listed);
    assert_eq!(ABILITIES.len() + OWN.len(), listed.len(), "nothing is listed twice");
}

#[test]
fn what_the_console_does_the_admin_api_does() {
    let routes = routes();
    for (page, api, _) in ABILITIES {
        assert!(!api.is_empty(), "{page} has a way over the API");
        for route in *api {
            assert!(routes.contains(*route) && route.contains(" /api/v1/"), "{page}: {route}");
            // What changes something over pages changes it over the API, and the other way round but for previews.
            assert!(page.starts_with("GET") || !route.starts_with("GET"), "{page}: {route}");
        }
    }
}

#[test]
fn what_the_console_does_the_command_line_does() {
    for (page, _, commands) in ABILITIES {
        assert!(!commands.is_empty(), "{page} has a command");
        for command in *commands {
            let words: Vec<&str> = command.split(' ').collect();
            let said = Command::new(program()).args(&words).arg("--help").output().unwrap();
            let text = String::from_utf8(said.stdout).unwrap();
            assert!(said.status.success(), "{page}: shortbread {command}");
            assert!(text.contains(&format!("Usage: shortbread {command}")), "{page}: {command}\n{text}");
        }
    }
}
