use std::fs;

use super::*;

fn open(place: &Place) -> StoreError {
    Store::open(&place.path(), &Options::default()).unwrap_err()
}

fn create(place: &Place) -> StoreError {
    Store::create(&place.path(), &meta(StoreKind::Broker), &Options::default()).unwrap_err()
}

#[test]
fn a_missing_file_is_not_made() {
    let place = Place::new();
    let error = open(&place);
    assert!(matches!(error, StoreError::Missing { .. }));
    assert!(error.to_string().contains("shortbread.db") && error.to_string().contains("shortbread init"));
    assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), 0);
}

#[test]
fn what_is_not_initialised_is_refused_and_init_finishes_it() {
    let place = Place::new();
    fs::write(place.path(), "").unwrap();
    assert!(matches!(open(&place), StoreError::NotInitialised { .. }));
    drop(place.create());
    // As when `init` was killed after the tables were made.
    place.raw().execute("DELETE FROM meta", []).unwrap();
    assert!(matches!(open(&place), StoreError::NotInitialised { .. }));
    drop(place.create());
    assert_eq!(*place.open().meta(), meta(StoreKind::Broker));
    assert!(matches!(create(&place), StoreError::AlreadyInitialised { .. }));
}

#[test]
fn newer_and_edited_schemas_are_refused() {
    let place = Place::new();
    drop(place.create());
    let history = "INSERT INTO refinery_schema_history VALUES (99, 'later', 'not a date', 'not a number')";
    place.raw().execute(history, []).unwrap();
    assert!(matches!(open(&place), StoreError::Newer { found: 99, known: 2.., .. }));
    place.raw().execute("DELETE FROM refinery_schema_history WHERE version = 99", []).unwrap();
    drop(place.open());
    place.raw().execute("UPDATE refinery_schema_history SET checksum = '1'", []).unwrap();
    assert!(matches!(open(&place), StoreError::Edited { .. }));
    assert!(matches!(create(&place), StoreError::Edited { .. }));
    place.raw().execute("DELETE FROM refinery_schema_history", []).unwrap();
    assert!(matches!(open(&place), StoreError::NeedsMigration { found: 0, needed: 3.., .. }));
}

#[test]
fn one_broker_at_a_time() {
    let place = Place::new();
    let store = place.create();
    assert!(matches!(open(&place), StoreError::InUse { .. }));
    assert!(matches!(create(&place), StoreError::InUse { .. }));
    let other = place.0.path().join("other.db");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(place.path(), &other).unwrap();
        assert!(matches!(Store::open(&other, &Options::default()), Err(StoreError::InUse { .. })));
    }
    drop(store);
    drop(place.open());
}

#[test]
fn what_is_not_a_store_is_left_alone() {
    let place = Place::new();
    fs::write(place.path(), "hello, this is a text and no database".repeat(100)).unwrap();
    let before = fs::read(place.path()).unwrap();
    assert!(matches!(open(&place), StoreError::NotADatabase { .. }));
    assert!(matches!(create(&place), StoreError::NotADatabase { .. }));
    assert_eq!(fs::read(place.path()).unwrap(), before);
    fs::remove_file(place.path()).unwrap();
    place.raw().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(matches!(open(&place), StoreError::Foreign { .. }));
    assert!(matches!(create(&place), StoreError::Foreign { .. }));
    fs::remove_file(place.path()).unwrap();
    fs::create_dir(place.path()).unwrap();
    assert!(matches!(open(&place), StoreError::NotADatabase { .. }));
}

#[test]
fn a_read_only_file_or_folder_is_refused() {
    let place = Place::new();
    drop(place.create());
    for path in [place.path(), place.0.path().to_owned()] {
        let before = fs::metadata(&path).unwrap().permissions();
        let mut mode = before.clone();
        mode.set_readonly(true);
        fs::set_permissions(&path, mode).unwrap();
        let error = open(&place);
        fs::set_permissions(&path, before).unwrap();
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
    }
    drop(place.open());
}

#[test]
fn a_dev_store_is_not_served() {
    let place = Place::new();
    drop(Store::create(&place.path(), &meta(StoreKind::Dev), &Options::default()).unwrap());
    assert!(matches!(open(&place), StoreError::Dev { .. }));
    let dev = Options { dev: true, ..Options::default() };
    assert_eq!(Store::open(&place.path(), &dev).unwrap().meta().kind, StoreKind::Dev);
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let store = place.create();
    store.record_denial(None, audit("dec")).await.unwrap();
    for file in fs::read_dir(place.0.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    assert!(!format!("{:?} {store:?}", store.meta()).contains("7, 7"));
}
