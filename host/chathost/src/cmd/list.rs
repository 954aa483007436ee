//! `chathost list`: the servers that run, with the columns of the original and what came after it.

use super::{ask, say};
use crate::args::ListArgs;
use anyhow::bail;
use chathost::{
    admin::{Reply, Request},
    keeper::Row,
};
use std::process::ExitCode;

pub(crate) fn run(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let options = args.project.options();
    let cluster = options.load()?;
    if !args.json {
        say(&format!(
            "try to connect {}:{}",
            cluster.master.host, cluster.master.port
        ));
    }
    let Reply::Servers(rows) = ask(&args.project, &Request::List)? else {
        bail!("the host answered something else")
    };
    if args.json {
        say(&serde_json::to_string(&rows)?);
    } else {
        let lines = if args.handlers {
            handlers(&rows)
        } else {
            servers(&rows)
        };
        table(&lines).iter().for_each(|line| say(line));
        let libraries: usize = rows.iter().map(|row| row.libraries).sum();
        if libraries > 0 {
            say(&format!("libraries kept open: {libraries}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn servers(rows: &[Row]) -> Vec<Vec<String>> {
    let header = [
        "serverId",
        "serverType",
        "pid",
        "rss(M)",
        "heapTotal(M)",
        "heapUsed(M)",
        "uptime(m)",
        "generation",
        "retired",
        "sessions",
        "channels",
        "stalls",
    ];
    let number = |number: f64| format!("{number:.2}");
    let body = rows.iter().map(|row| {
        vec![
            row.server_id.clone(),
            row.server_type.clone(),
            row.pid.to_string(),
            number(row.rss),
            number(row.heap_total),
            number(row.heap_used),
            number(row.uptime),
            row.generation.clone(),
            row.retired.to_string(),
            row.sessions.to_string(),
            row.channels.to_string(),
            row.stalls.to_string(),
        ]
    });
    std::iter::once(header.map(str::to_owned).to_vec())
        .chain(body)
        .collect()
}

fn handlers(rows: &[Row]) -> Vec<Vec<String>> {
    let header = [
        "serverId",
        "handler",
        "generation",
        "calls",
        "errors",
        "average(ms)",
    ];
    let body = rows.iter().flat_map(|row| {
        row.handlers.iter().map(|handler| {
            vec![
                row.server_id.clone(),
                format!("{}.{}", row.server_type, handler.method),
                row.generation.clone(),
                handler.calls.to_string(),
                handler.errors.to_string(),
                format!("{:.3}", handler.average_ms),
            ]
        })
    });
    std::iter::once(header.map(str::to_owned).to_vec())
        .chain(body)
        .collect()
}

/// Columns as wide as their widest cell.
fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or_default())
        .collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join(" ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_wide_as_the_widest() {
        let rows = [["id", "type"], ["chat-1", "c"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), ["id     type", "chat-1 c"]);
    }
}
