//! Who may depend on whom among our own crates. A new edge is a decision, and is made here first.
//! Refuses a crate that the table does not know.

use serde_json::Value;

use super::Finding;

/// What one crate may use of ours.
struct Crate {
    name: &'static str,
    uses: &'static [&'static str],
    /// In its tests and benches, beside what it uses.
    uses_in_tests: &'static [&'static str],
}

const CRATES: &[Crate] = &[
    Crate { name: "host", uses: &[], uses_in_tests: &[] },
    Crate { name: "data-manager", uses: &["host"], uses_in_tests: &["origin"] },
    Crate { name: "rtrans", uses: &["host"], uses_in_tests: &[] },
    Crate { name: "sealer", uses: &["rtrans", "host"], uses_in_tests: &[] },
    Crate { name: "origin", uses: &[], uses_in_tests: &[] },
    Crate {
        name: "loghold",
        uses: &["data-manager", "host", "origin", "rtrans", "sealer"],
        uses_in_tests: &[],
    },
    Crate { name: "xtask", uses: &[], uses_in_tests: &[] },
];

/// Reads the edges out of `cargo metadata`.
pub(super) fn check(metadata: &Value) -> Vec<Finding> {
    let packages = list(metadata, "packages");
    let ours: Vec<&str> = packages.iter().map(|package| text(package, "name")).collect();
    let mut findings = Vec::new();
    for package in packages {
        let name = text(package, "name");
        let manifest = manifest_path(metadata, package);
        let Some(row) = CRATES.iter().find(|row| row.name == name) else {
            findings.push(Finding::file(
                &manifest,
                format!(
                    "`{name}` is not in the table of xtask/src/tidy/crate_edges.rs: say there what it may use"
                ),
            ));
            continue;
        };
        for dependency in list(package, "dependencies") {
            let used = text(dependency, "name");
            let is_in_tests = text(dependency, "kind") == "dev";
            let is_allowed = row.uses.contains(&used) || (is_in_tests && row.uses_in_tests.contains(&used));
            if ours.contains(&used) && !is_allowed {
                findings.push(Finding::file(&manifest, format!("`{name}` must not use `{used}`")));
            }
        }
    }
    findings
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn manifest_path(metadata: &Value, package: &Value) -> String {
    let path = text(package, "manifest_path");
    path.strip_prefix(text(metadata, "workspace_root")).unwrap_or(path).trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn findings(name: &str, dependencies: &Value) -> Vec<String> {
        let metadata = json!({"workspace_root": "/a", "packages": [
            {"name": name, "manifest_path": "/a/crates/x/Cargo.toml", "dependencies": dependencies},
            {"name": "host", "dependencies": []},
            {"name": "origin", "dependencies": []},
        ]});
        check(&metadata).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn edges_of_the_table_pass_and_foreign_crates_are_free() {
        let dependencies = json!([{"name": "host", "kind": null}, {"name": "serde", "kind": null}]);
        assert_eq!(findings("data-manager", &dependencies), Vec::<String>::new());
    }

    #[test]
    fn an_edge_that_is_for_tests_only_fails_in_the_product() {
        assert_eq!(
            findings("data-manager", &json!([{"name": "origin", "kind": "dev"}])),
            Vec::<String>::new()
        );
        let found = findings("data-manager", &json!([{"name": "origin", "kind": null}]));
        assert_eq!(found, ["crates/x/Cargo.toml: `data-manager` must not use `origin`"]);
    }

    #[test]
    fn an_unknown_crate_fails() {
        let found = findings("common", &json!([]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("`common` is not in the table"), "{found:?}");
    }

    #[test]
    fn the_two_libraries_never_meet() {
        let uses = |name: &str| CRATES.iter().find(|row| row.name == name).unwrap().uses;
        assert!(!uses("data-manager").contains(&"rtrans"));
        assert!(!uses("rtrans").contains(&"data-manager"));
    }
}
