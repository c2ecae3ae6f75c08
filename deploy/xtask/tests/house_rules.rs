//! The house rules over the real workspace.

use eddyline_xtask::rules::{CRATES, SIZE_EXCEPTIONS};
use eddyline_xtask::workspace::{TextFile, manifests, root, text_files, top_level};
use eddyline_xtask::{Violation, edges, homes, paths, purity, sizes};

fn files() -> Vec<TextFile> {
    text_files(&root()).expect("the tree can be read")
}

fn none(violations: &[Violation]) {
    let list: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert!(list.is_empty(), "{} violations:\n{}", list.len(), list.join("\n"));
}

#[test]
fn crates_use_what_they_may() {
    let manifests = manifests(&files()).expect("manifests are TOML");
    assert_eq!(manifests.len(), CRATES.len(), "every crate of the table is there");
    none(&edges::check_edges(&manifests));
}

#[test]
fn heavy_dependencies_have_one_home() {
    none(&homes::check_homes(&manifests(&files()).expect("manifests are TOML")));
}

#[test]
fn sources_are_small_and_documented() {
    let files = files();
    let sources = files.iter().filter(|file| file.path.ends_with(".rs")).count();
    assert!(sources > CRATES.len(), "the sources were found");
    none(&sizes::check_sizes(&files, SIZE_EXCEPTIONS));
}

#[test]
fn pure_crates_do_no_io() {
    none(&purity::check_purity(&files()));
}

#[test]
fn the_top_level_is_fixed() {
    let names = top_level(&root()).expect("the top level can be read");
    none(&eddyline_xtask::top_level::check_top_level(&names));
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    none(&paths::check_paths(&files()));
}
