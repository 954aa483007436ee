//! `clusterCount`: one entry that stands for several servers. Every value that ends in `++` counts up, and the servers
//! are called `cluster-server-<type>-<n>`.

use super::{
    super::{node::Problems, section::shortened},
    fields::{self, Fields},
};

/// Servers that one entry may stand for.
const MOST: u64 = 1000;

/// The servers that an entry stands for; itself if it counts nothing. `sequence`: how many servers of the type have been
/// counted in entries before it. Pomelo's first is number 0.
pub(super) fn expand<'a>(
    entry: Fields<'a>,
    server_type: &str,
    sequence: &mut u64,
    problems: &mut Problems,
) -> Vec<Fields<'a>> {
    let Some(count) = entry.values.get("clusterCount") else {
        return vec![entry];
    };
    let Some(count) = fields::whole(count).filter(|count| (1..=MOST).contains(count)) else {
        let count = shortened(&count.to_string());
        let cause = format!("has to be a whole number from 1 to {MOST}, not {count}");
        entry.wrong("clusterCount", &cause, problems);
        return Vec::new();
    };
    let Some(counted) = counted(&entry, problems) else {
        return Vec::new();
    };
    let server = |turn: u64| {
        let mut server = entry.clone();
        for (key, base) in &counted {
            server.set(key, base.saturating_add(turn).into());
        }
        let number = *sequence + turn;
        server.set("id", format!("cluster-server-{server_type}-{number}").into());
        server
    };
    let servers = (0..count).map(server).collect();
    *sequence += count;
    servers
}

/// The fields that count up, and what they begin with; nothing if one of them cannot.
fn counted(entry: &Fields<'_>, problems: &mut Problems) -> Option<Vec<(String, u64)>> {
    let before = problems.count();
    let mut counted = Vec::new();
    for (key, value) in &entry.values {
        let Some(base) = value.as_str().and_then(|text| text.strip_suffix("++")) else {
            continue;
        };
        match base.parse() {
            Ok(base) => counted.push((key.clone(), base)),
            Err(_) => {
                let value = shortened(&value.to_string());
                let cause = format!("{value} has to be a whole number before the ++, like \"3050++\"");
                entry.wrong(key, &cause, problems);
            }
        }
    }
    (problems.count() == before).then_some(counted)
}
