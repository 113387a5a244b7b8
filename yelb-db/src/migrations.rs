//! The migrations, compiled in.
//!
//! They are listed here, and not found by `sqlx::migrate!`: that macro needs sqlx's drivers, which Cargo then compiles a second
//! time for the compiler's own use, and so for every first `cargo run`.

use std::sync::LazyLock;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// The name of a file, and what is in it.
type File = (&'static str, &'static str);

macro_rules! file {
    ($path:literal) => {
        ($path, include_str!(concat!("../migrations/", $path)))
    };
}

const POSTGRES_FILES: &[File] = &[
    file!("postgres/0001_restaurants.sql"),
    file!("postgres/0002_counts_beyond_32_bits.sql"),
    file!("postgres/0003_one_row_a_restaurant.sql"),
    file!("postgres/0004_vote_keys.sql"),
    file!("postgres/0005_two_tables_of_keys.sql"),
];
const SQLITE_FILES: &[File] =
    &[file!("sqlite/0001_restaurants_and_page_views.sql"), file!("sqlite/0002_vote_keys.sql")];

pub(crate) static POSTGRES: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = migrator(POSTGRES_FILES);
    // A newer release may have been here before it was rolled back.
    migrator.set_ignore_missing(true);
    // The lock that sqlx takes is a session's, and outlasts ours where a pooler lends it to others.
    migrator.set_locking(false);
    migrator
});
pub(crate) static SQLITE: LazyLock<Migrator> = LazyLock::new(|| migrator(SQLITE_FILES));

fn migrator(files: &[File]) -> Migrator {
    Migrator::with_migrations(files.iter().map(migration).collect())
}

/// Number and description are in the file's name: `postgres/0001_restaurants.sql`.
fn migration(&(path, sql): &File) -> Migration {
    let (_, name) = path.rsplit_once('/').expect("a path has a folder");
    let (version, description) = name
        .strip_suffix(".sql")
        .and_then(|name| name.split_once('_'))
        .expect("a name has a number, a description and an ending");
    let version = version.parse().expect("a name begins with a number");
    let description = description.replace('_', " ").into();
    Migration::new(version, description, MigrationType::Simple, sql.into_sql_str(), false)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn directory(folder: &str) -> Vec<String> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
        let mut paths: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|file| format!("{folder}/{}", file.unwrap().file_name().to_str().unwrap()))
            .collect();
        paths.sort();
        paths
    }

    #[test]
    fn every_file_is_a_migration() {
        for (folder, files) in [("postgres", POSTGRES_FILES), ("sqlite", SQLITE_FILES)] {
            let listed: Vec<_> = files.iter().map(|(path, _)| (*path).to_owned()).collect();
            assert_eq!(listed, directory(folder));
        }
    }

    #[test]
    fn a_database_knows_them_by_number_and_checksum() {
        let first = POSTGRES.iter().next().unwrap();
        assert_eq!((first.version, &*first.description), (1, "restaurants"));
        // SHA-384 of the file, as `sqlx::migrate!` took it: databases of earlier versions are recognised.
        assert_eq!(first.checksum[..8], [0x5a, 0xe9, 0xba, 0x6b, 0xc3, 0x8f, 0x6b, 0x78]);
        assert!(POSTGRES.ignore_missing && !POSTGRES.locking);
    }
}
