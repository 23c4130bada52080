//! `template`: each output is read by the tool that it is for, means the same to each reader, and
//! passes our own rules once it is filled in, and not before.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

mod kiosk;

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use backing_services_tests::canary;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kiosk::{KIOSK, Said, said};
use serde_json::Value;
use tempfile::TempDir;

const DEPOT: &str = env!("CARGO_BIN_EXE_depot-services");

const KINDS: [&str; 6] =
    ["env", "kubernetes", "servicebinding", "networkpolicy", "systemd", "compose"];

/// A password that passes the rules.
const PASSWORD: &str = "kX3-vR9_wQ1z";

fn program(path: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(path);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .stdin(Stdio::null());
    command
}

fn template(path: &str, kind: &str) -> String {
    let output = program(path, &["template", kind]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{kind}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    // For some readers, other characters also end a line, and so a comment.
    canary::assert_harmless(kind, &text);
    text
}

/// A private folder.
fn folder() -> TempDir {
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempdir().unwrap()
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o400)).unwrap();
}

/// The value that a person fills in for a placeholder.
fn filled(variable: &str, text: &str) -> String {
    match text {
        "__PASSWORD__" | "__SECRET__" => PASSWORD.to_owned(),
        "__USER__" => "user".to_owned(),
        "__https://HOST__" => "https://storage.example".to_owned(),
        "" if variable.ends_with("GATES") => "4".to_owned(),
        _ => match text.strip_prefix("__").and_then(|text| text.strip_suffix("__")) {
            Some(locator) if locator.starts_with("s3:") => {
                "s3://photos?region=eu-west-1".to_owned()
            }
            Some(locator) => locator
                .replace("HOST", "server.example")
                .replace("PATH", "var/lib/notes.db")
                .replace("/DATABASE", "/main"),
            None => text.to_owned(),
        },
    }
}

/// The variables that a file of variables sets.
fn variables(text: &str) -> Vec<(String, String)> {
    let lines =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(rule, variable)| ((*rule).to_owned(), (*variable).to_owned())).collect()
}

#[test]
fn the_templates_of_the_kiosk_stay_as_they_are() {
    for kind in KINDS {
        insta::assert_snapshot!(format!("template_{kind}"), template(KIOSK, kind));
    }
}

#[test]
fn another_kind_is_a_mistake() {
    let Said { status, out, err } = said(&mut program(KIOSK, &["template", "helm"]));
    assert_eq!((status, out.as_str()), (2, ""));
    assert!(err.contains("[possible values: env, "), "{err}");
}

#[test]
fn a_file_of_variables_is_refused_until_it_is_filled_in() {
    let folder = folder();
    let file = folder.path().join(".env");
    let mut text = template(KIOSK, "env");
    let refused = |text: &str| {
        write(&file, text);
        let output = program(KIOSK, &["check", "--format", "json", "--env-file"])
            .arg(&file)
            .output()
            .unwrap();
        std::fs::remove_file(&file).unwrap();
        findings(&output.stdout)
    };
    assert_eq!(
        refused(&text),
        pairs(&[("placeholder_value", "DATABASE_URL"), ("placeholder_value", "KIOSK_RECEIPT_KEY")])
    );
    for (name, value) in variables(&text.clone()) {
        let before = refused(&text);
        assert!(!before.is_empty(), "{name}");
        text = text.replace(
            &format!("\n{name}={value}\n"),
            &format!("\n{name}={}\n", filled(&name, &value)),
        );
        // A variable that is still to be filled in is reported as soon as its locator is set.
        if name == "DATABASE_USER" {
            assert!(
                refused(&text)
                    .contains(&("placeholder_value".to_owned(), "DATABASE_PASSWORD".to_owned()))
            );
        }
    }
    assert_eq!(refused(&text), []);
}

fn findings(json: &[u8]) -> Vec<(String, String)> {
    let report: Value = serde_json::from_slice(json).unwrap_or_else(|error| panic!("{error}"));
    let fields = report["fields"].as_array().unwrap().iter();
    let findings = fields.flat_map(|field| field["findings"].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let denied = findings.filter(|finding| finding["denied"] == true);
    denied.map(|finding| (text(&finding["rule"]), text(&finding["variable"]))).collect()
}

/// The whole output, including everything optional, filled in.
fn complete(text: &str) -> String {
    let mut complete = String::new();
    for line in text.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let is_variable = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        };
        match bare.split_once('=').filter(|(name, _)| is_variable(name)) {
            // Variables that need files of their own are not part of this test.
            Some((name, _))
                if name.ends_with("_FILE") || name.ends_with("_PIN") || name == "NAME" => {}
            // The wrong value of another resource, in a comment.
            Some((name, _)) if name.contains("EVIL") => {}
            Some((name, value)) => complete.push_str(&format!("{name}={}\n", filled(name, value))),
            None => complete.push_str(&format!("{line}\n")),
        }
    }
    complete
}

/// dotenvy, two shells, and a reader without quotes read the same from a filled-in file. The
/// hostile texts in it have no effect.
#[test]
fn a_file_of_variables_means_the_same_to_each_of_its_readers() {
    for path in [KIOSK, DEPOT] {
        let folder = folder();
        let file = folder.path().join(".env");
        let text = complete(&template(path, "env"));
        let expected: BTreeMap<_, _> = variables(&text).into_iter().collect();
        assert!(
            expected.len() > 10
                && !expected.contains_key("DEPOT_EVIL")
                && !expected.contains_key("EVIL"),
            "{expected:?}"
        );
        write(&file, &text);
        let said = said(program(path, &["check", "--env-file"]).arg(&file));
        assert_eq!(said.status, 0, "{said:?}");

        for shell in ["dash", "bash"] {
            let mut sourced = program(shell, &["-euc", "set -a; . ./.env; exec env -0"]);
            let output = sourced.current_dir(folder.path()).output().unwrap();
            assert!(output.stderr.is_empty(), "{output:?}");
            let text = String::from_utf8(output.stdout).unwrap();
            let mut sourced: BTreeMap<_, _> = text
                .split_terminator('\0')
                .filter_map(|line| line.split_once('='))
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect();
            for own in ["PATH", "PWD", "OLDPWD", "SHLVL", "_"] {
                sourced.remove(own);
            }
            assert_eq!(sourced, expected, "{shell}");
        }
        let left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, [".env"], "something has run");
    }
}

/// The documents of a file.
fn documents(yaml: &str) -> Vec<Value> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// Parses a document into the type of Kubernetes, and checks that no field is unknown.
fn typed<T: k8s_openapi::serde::de::DeserializeOwned>(document: &Value) -> T {
    let mut unknown = Vec::new();
    let value = serde_ignored::deserialize(document.clone(), |path| unknown.push(path.to_string()));
    assert_eq!(unknown, [""; 0], "{document:#}");
    value.unwrap_or_else(|error| panic!("{error}: {document:#}"))
}

fn of_kind<'a>(documents: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    documents.iter().filter(move |document| document["kind"] == kind)
}

#[test]
fn kubernetes_reads_the_deployment_and_the_program_its_volumes() {
    for path in [KIOSK, DEPOT] {
        let documents = documents(&template(path, "kubernetes"));
        let root = folder();
        let secrets: BTreeMap<String, Secret> = of_kind(&documents, "Secret")
            .map(typed::<Secret>)
            .map(|secret| (secret.metadata.name.clone().unwrap(), secret))
            .collect();
        let deployments: Vec<_> = of_kind(&documents, "Deployment").collect();
        assert_eq!(secrets.len() + deployments.len(), documents.len());
        let [deployment] = deployments[..] else { panic!("one Deployment") };
        let pod = typed::<Deployment>(deployment).spec.unwrap().template.spec.unwrap();
        assert_eq!(pod.automount_service_account_token, Some(false));
        let security = pod.security_context.as_ref().unwrap();
        assert_eq!((security.run_as_non_root, security.fs_group), (Some(true), Some(10_001)));

        // A volume as the kubelet mounts it: a folder behind a link that is swapped as a whole.
        let (container, init) = (&pod.containers[0], &pod.init_containers.as_ref().unwrap()[0]);
        assert_eq!(container.env, init.env);
        let locked = container.security_context.as_ref().unwrap();
        assert_eq!(
            (locked.allow_privilege_escalation, locked.read_only_root_filesystem),
            (Some(false), Some(true))
        );
        for mount in container.volume_mounts.as_ref().unwrap() {
            assert_eq!(mount.sub_path, None, "it would not follow a rotation");
            let volume = pod
                .volumes
                .as_ref()
                .unwrap()
                .iter()
                .find(|volume| volume.name == mount.name)
                .unwrap();
            let Some(source) = &volume.secret else { continue };
            assert_eq!(source.default_mode, Some(0o400));
            let folder = root.path().join(mount.mount_path.trim_start_matches('/'));
            let secret = &secrets[source.secret_name.as_ref().unwrap()];
            for (key, text) in secret.string_data.as_ref().unwrap() {
                write(&folder.join("..2026").join(key), &filled(key, text));
                symlink(format!("..data/{key}"), folder.join(key)).unwrap();
            }
            symlink("..2026", folder.join("..data")).unwrap();
        }
        let mut check = program(path, &["check"]);
        for variable in container.env.as_ref().unwrap() {
            let value = variable.value.clone().unwrap_or_default();
            let value = if variable.name.ends_with("_FILE") {
                format!("{}{value}", root.path().display())
            } else {
                filled(&variable.name, &value)
            };
            check.env(&variable.name, value);
        }
        let said = said(&mut check);
        assert_eq!((said.status, said.out.contains("warning")), (0, false), "{said:?}");
    }
}

#[test]
fn the_bindings_are_read_by_our_source() {
    let documents = documents(&template(DEPOT, "servicebinding"));
    let root = folder();
    let secrets: BTreeMap<String, Secret> = of_kind(&documents, "Secret")
        .map(typed::<Secret>)
        .map(|secret| (secret.metadata.name.clone().unwrap(), secret))
        .collect();
    let bindings: Vec<_> = of_kind(&documents, "ServiceBinding").collect();
    // All resources except the one in a file.
    assert_eq!((bindings.len(), secrets.len(), documents.len()), (8, 8, 16));
    for binding in bindings {
        assert_eq!(binding["apiVersion"], "servicebinding.io/v1");
        let keys: Vec<_> =
            binding["spec"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["name", "service", "workload"]);
        let secret = &secrets[binding["spec"]["service"]["name"].as_str().unwrap()];
        let entries = secret.string_data.as_ref().unwrap();
        assert_eq!(
            secret.type_.as_deref(),
            Some(format!("servicebinding.io/{}", entries["type"]).as_str())
        );
        assert!(entries.contains_key("provider"));
        for (entry, text) in entries {
            write(
                &root.path().join(binding["spec"]["name"].as_str().unwrap()).join(entry),
                &filled(entry, text),
            );
        }
    }
    let mut check = program(DEPOT, &["check"]);
    check.env("SERVICE_BINDING_ROOT", root.path());
    check.envs([
        ("DEPOT_NOTES_URL", "sqlite:///var/lib/notes.db"),
        ("DEPOT_SEAL", PASSWORD),
        ("DEPOT_GATES", "4"),
    ]);
    let said = said(&mut check);
    assert_eq!(said.status, 0, "{said:?}");
    assert!(said.out.contains("the binding `depot-pallets`"), "{said:?}");
}

#[test]
fn a_network_policy_admits_the_resources_alone() {
    let documents = documents(&template(DEPOT, "networkpolicy"));
    let [document] = &documents[..] else { panic!("one document") };
    let spec = typed::<NetworkPolicy>(document).spec.unwrap();
    assert_eq!(spec.policy_types, Some(vec!["Egress".to_owned()]));
    let rules = spec.egress.unwrap();
    let ports: Vec<_> = document["spec"]["egress"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["ports"][0]["port"].clone())
        .collect();
    assert_eq!(ports, [53, 5432, 6379, 4222, 5671, 3306, 443, 443, 465]);
    for rule in rules {
        assert!(
            rule.to.is_some_and(|to| to.len() == 1) && rule.ports.is_some(),
            "a rule without either lets everything out"
        );
    }
}

/// The unit as systemd reads it, with programs that exist.
fn unit(path: &str, folder: &Path) -> PathBuf {
    let text = template(path, "systemd");
    let programs = |line: &str| {
        let key = line.split_once("=/usr/local/bin/").map(|(key, _)| key);
        key.map_or_else(|| line.to_owned(), |key| format!("{key}=/bin/true"))
    };
    let file = folder.join("tried.service");
    std::fs::write(&file, text.lines().map(programs).collect::<Vec<_>>().join("\n")).unwrap();
    file
}

#[test]
fn systemd_reads_the_unit_and_finds_it_locked() {
    for path in [KIOSK, DEPOT] {
        let folder = folder();
        let unit = unit(path, folder.path());
        let analyze =
            |arguments: &[&str]| program("systemd-analyze", arguments).arg(&unit).output().unwrap();
        let verified = analyze(&["verify", "--man=no"]);
        assert!(
            verified.status.success() && verified.stderr.is_empty() && verified.stdout.is_empty(),
            "{verified:?}"
        );
        // The exposure level ranges from 0 to 10. The threshold 15 is a level of 1.5.
        let security = analyze(&["security", "--offline=yes", "--threshold=15", "--no-pager"]);
        assert!(security.status.success(), "{}", String::from_utf8_lossy(&security.stdout));
        assert!(!folder.path().join("pwned").exists());
    }
}

/// If the file system is read-only, a database in a file needs a writable place.
#[test]
fn an_embedded_database_gets_a_writable_place() {
    let depot = template(DEPOT, "systemd");
    assert!(
        depot.contains("\nStateDirectory=depot\n")
            && depot.contains("sqlite:///var/lib/depot/notes.db"),
        "{depot}"
    );
    let kiosk = template(KIOSK, "systemd");
    assert!(
        kiosk.contains("\n# StateDirectory=kiosk\n")
            && kiosk.contains("sqlite:///var/lib/kiosk/notes.db"),
        "{kiosk}"
    );
    for kind in KINDS {
        let stand = said(program(KIOSK, &["template", kind]).arg0("stand-services")).out;
        assert!(
            !stand.contains("StateDirectory") && !stand.contains("PersistentVolumeClaim"),
            "{stand}"
        );
    }
    for (path, name) in [(KIOSK, "kiosk"), (DEPOT, "depot")] {
        let text = template(path, "kubernetes");
        // Uncomments the mount and the claim.
        let uncomment = |line: &str| {
            let (blanks, rest) = line.split_at(line.len() - line.trim_start().len());
            rest.strip_prefix("# - { name: \"state\"").map_or_else(
                || line.to_owned(),
                |rest| format!("{blanks}- {{ name: \"state\"{rest}"),
            )
        };
        let (deployment, claim) =
            text.split_once("\n# ---\n# apiVersion: v1\n# kind: PersistentVolumeClaim\n").unwrap();
        let claim: String =
            claim.lines().map(|line| format!("{}\n", line.strip_prefix("# ").unwrap())).collect();
        let text = deployment.lines().map(uncomment).collect::<Vec<_>>().join("\n");
        let documents = documents(&format!(
            "{text}\n---\napiVersion: v1\nkind: PersistentVolumeClaim\n{claim}"
        ));
        let claim = typed::<PersistentVolumeClaim>(
            of_kind(&documents, "PersistentVolumeClaim").next().unwrap(),
        );
        let pod = typed::<Deployment>(of_kind(&documents, "Deployment").next().unwrap())
            .spec
            .unwrap()
            .template
            .spec
            .unwrap();
        let volumes = pod.volumes.unwrap();
        let volume = volumes.iter().find(|volume| volume.name == "state").unwrap();
        assert_eq!(
            Some(&volume.persistent_volume_claim.as_ref().unwrap().claim_name),
            claim.metadata.name.as_ref()
        );
        for container in pod.containers.iter().chain(pod.init_containers.as_ref().unwrap()) {
            let mount = container
                .volume_mounts
                .as_ref()
                .unwrap()
                .iter()
                .find(|mount| mount.name == "state")
                .unwrap();
            assert_eq!(mount.mount_path, format!("/var/lib/{name}"));
        }
    }
}

/// Both are applied to one cluster, in which a Secret cannot change its type.
#[test]
fn no_two_files_write_the_same_secret() {
    let names = |kind: &str| -> Vec<String> {
        let documents = documents(&template(DEPOT, kind));
        of_kind(&documents, "Secret")
            .map(|secret| secret["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let (mounted, bound) = (names("kubernetes"), names("servicebinding"));
    assert!(
        !bound.is_empty() && !bound.iter().any(|name| mounted.contains(name)),
        "{mounted:?} and {bound:?}"
    );
}

/// The name of the program itself is unknown here.
#[test]
fn the_unit_starts_what_has_to_be_filled_in() {
    for name in ["kiosk-services", "stand-services"] {
        let unit = said(program(KIOSK, &["template", "systemd"]).arg0(name)).out;
        assert!(unit.contains("\nExecStart=/usr/local/bin/__PROGRAM__\n"), "{unit}");
        assert!(unit.contains(&format!("\nExecStartPre=/usr/local/bin/{name} attach\n")), "{unit}");
    }
}

/// The credentials of the unit, in the folder of systemd, and its variables.
#[test]
fn the_units_credentials_are_the_programs() {
    for path in [KIOSK, DEPOT] {
        let text = template(path, "systemd");
        let credentials = folder();
        let mut check = program(path, &["check"]);
        check.env("CREDENTIALS_DIRECTORY", credentials.path());
        let suggestions: BTreeMap<_, _> = variables(&template(path, "env")).into_iter().collect();
        for line in text.lines() {
            if let Some((id, file)) =
                line.strip_prefix("LoadCredential=").and_then(|line| line.split_once(':'))
            {
                let variable = file.rsplit_once('/').unwrap().1;
                write(&credentials.path().join(id), &filled(variable, &suggestions[variable]));
            }
            if let Some(assignment) = line.strip_prefix("Environment=") {
                let (name, value) = assignment.trim_matches('"').split_once('=').unwrap();
                let value = value.replace("%d", credentials.path().to_str().unwrap());
                check.env(name, filled(name, &value));
            }
        }
        let said = said(&mut check);
        assert_eq!(said.status, 0, "{said:?}");
    }
}
