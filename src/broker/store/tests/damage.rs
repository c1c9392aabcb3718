//! Damage is named, and copies are whole.

use std::fs;

use super::*;

async fn filled(place: &Place) {
    let store = place.create();
    for n in 0..120 {
        store.record_exchange(exchange(n, "enrich", NOW.seconds())).await.unwrap();
    }
    revoke(&store, workflow("enrich"), RevokeMode::Forever).await;
}

fn copied(place: &Place, name: &str, replace: bool) -> Result<Backup, BackupError> {
    let to = place.0.path().join(name);
    back_up(&place.path(), "https://broker.acme.example", &to, replace, &mut |_| true)
}

fn files(place: &Place) -> usize {
    let name =
        |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().to_string_lossy().into_owned();
    // Whoever reads a store opens its log.
    let is_log = |name: &String| name == "shortbread.db-wal" || name == "shortbread.db-shm";
    fs::read_dir(place.0.path()).unwrap().map(name).filter(|name| !is_log(name)).count()
}

#[tokio::test]
async fn whatever_page_is_torn_is_named() {
    let place = Place::new();
    filled(&place).await;
    assert_eq!(check(&place.path()).unwrap().damage, Vec::<String>::new());
    let sound = fs::read(place.path()).unwrap();
    let pages = sound.len() / 4096;
    assert!(pages > 30, "{pages} pages");
    for page in 0..pages {
        let mut torn = sound.clone();
        torn[page * 4096..(page + 1) * 4096].fill(0x5a);
        fs::write(place.path(), torn).unwrap();
        let named = check(&place.path()).map_or(true, |checked| !checked.damage.is_empty());
        assert!(named, "page {page} of {pages}");
        assert!(copied(&place, "backup.db", true).is_err(), "page {page} of {pages}");
    }
    assert!(!place.0.path().join("backup.db").exists());
}

#[tokio::test]
async fn an_entry_that_is_not_what_was_logged_is_named() {
    let place = Place::new();
    filled(&place).await;
    place.raw().execute("UPDATE audit_entry SET body = x'00' WHERE idx = 17", []).unwrap();
    let damage = check(&place.path()).unwrap().damage;
    assert_eq!(damage, ["entry 17 of the audit log is not what was logged"]);
    let error = copied(&place, "backup.db", false).unwrap_err();
    assert!(matches!(&error, BackupError::Damaged { damage, .. } if damage.contains("entry 17")), "{error}");
}

#[tokio::test]
async fn a_backup_that_is_stopped_leaves_nothing() {
    let place = Place::new();
    filled(&place).await;
    let before = files(&place);
    let to = place.0.path().join("backup.db");
    for last in 0..2 {
        let mut told = 0;
        let mut tell = |_| {
            told += 1;
            told <= last
        };
        let stopped = back_up(&place.path(), "https://broker.acme.example", &to, false, &mut tell);
        assert_eq!(stopped, Err(BackupError::Stopped));
        assert_eq!(files(&place), before);
    }
    copied(&place, "backup.db", false).unwrap();
    assert_eq!(files(&place), before + 1);
    assert!(matches!(copied(&place, "backup.db", false), Err(BackupError::Exists { .. })));
}

#[tokio::test]
async fn an_older_store_can_be_backed_up_before_it_is_migrated() {
    let place = Place::new();
    filled(&place).await;
    place.raw().execute_batch("DELETE FROM refinery_schema_history WHERE version > 3").unwrap();
    assert_eq!(copied(&place, "backup.db", false).unwrap().facts.schema, 3);
}
