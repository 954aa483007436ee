//! `chathost init-plugin`: a new plugin project that builds, passes its test and loads.

use super::say;
use crate::args::InitPluginArgs;
use anyhow::{Context, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The files of a project, by their place in it.
const FILES: [(&str, &str); 3] = [
    (
        "Cargo.toml",
        include_str!("../../../../plugins/template/Cargo.toml.in"),
    ),
    (
        "README.md",
        include_str!("../../../../plugins/template/README.md"),
    ),
    (
        "src/lib.rs",
        include_str!("../../../../plugins/template/src/lib.rs"),
    ),
];

pub(crate) fn run(args: &InitPluginArgs) -> anyhow::Result<ExitCode> {
    let name = &args.name;
    let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(is_fine) {
        bail!("{name} cannot be a crate's name: small letters, digits, - and _, beginning with a letter");
    }
    let folder = args.path.clone().unwrap_or_else(|| PathBuf::from(name));
    if folder.exists() {
        bail!(
            "{} exists already; choose another name, or another place with --path",
            folder.display()
        );
    }
    let sdk = match &args.sdk {
        Some(sdk) => sdk.clone(),
        None => find_sdk().context(
            "the sources of chathost-plugin were not found; say where they are: --sdk …/plugins/chathost-plugin",
        )?,
    };
    let sdk = fs::canonicalize(&sdk).with_context(|| format!("--sdk {}", sdk.display()))?;
    let values = [
        ("{{name}}", name.clone()),
        ("{{library}}", name.replace('-', "_")),
        ("{{group}}", camel_case(name)),
        ("{{path}}", folder.display().to_string()),
        (
            "{{chathost-plugin}}",
            format!("{{ path = {:?} }}", sdk.display().to_string()),
        ),
    ];
    for (place, template) in FILES {
        let text = values
            .iter()
            .fold(template.to_owned(), |text, (key, value)| text.replace(key, value));
        let path = folder.join(place);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        }
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        say(&format!("   create : {}", path.display()));
    }
    say(&format!(
        "\n  cd {} && cargo test && cargo build --release, then see its README.md",
        folder.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Beside or above the current directory, or where this program was built.
fn find_sdk() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut places = here
        .ancestors()
        .chain([built.as_path()])
        .map(|place| place.join("plugins/chathost-plugin"));
    places.find(|place| place.join("Cargo.toml").is_file())
}

/// `my-dice` → `myDice`.
fn camel_case(name: &str) -> String {
    let mut words = name.split(['-', '_']);
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(camel_case("my-dice_game"), "myDiceGame");
        assert_eq!(camel_case("dice"), "dice");
    }

    /// Nothing is left to fill in.
    #[test]
    fn every_key_of_the_template_is_known() {
        let known = ["name", "library", "group", "path", "chathost-plugin"];
        for (file, text) in FILES {
            for key in text
                .split("{{")
                .skip(1)
                .filter_map(|rest| rest.split_once("}}"))
                .map(|(key, _)| key)
            {
                let is_key = key.chars().all(|c| c.is_ascii_lowercase() || c == '-');
                assert!(!is_key || known.contains(&key), "{file}: {key}");
            }
        }
    }
}
