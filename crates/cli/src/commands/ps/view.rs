//! A row of `ps` in the words of the moment it is printed at.

use std::collections::BTreeMap;

use dhow_engine::report::{PortMapping, PsRow, PsSize};
use jiff::Timestamp;
use serde::Serialize;

use crate::human;
use crate::table::Table;

/// A column of the table: heading and cell.
pub(super) type Column = (&'static str, fn(&View) -> &str);

/// The columns of `ps`.
pub(super) const COLUMNS: &[Column] = &[
    ("CONTAINER ID", |row| &row.id),
    ("IMAGE", |row| &row.image),
    ("COMMAND", |row| &row.command),
    ("CREATED", |row| &row.created_human),
    ("STATUS", |row| &row.status),
    ("PORTS", |row| &row.ports),
    ("NAMES", |row| &row.names),
];

/// The columns of `ps --ns`.
pub(super) const NAMESPACE_COLUMNS: &[Column] = &[
    ("CONTAINER ID", |row| &row.id),
    ("NAMES", |row| &row.names),
    ("PID", |row| &row.pid_text),
    ("CGROUPNS", |row| &row.cgroup),
    ("IPC", |row| &row.ipc),
    ("MNT", |row| &row.mnt),
    ("NET", |row| &row.net),
    ("PIDNS", |row| &row.pidns),
    ("USERNS", |row| &row.userns),
    ("UTS", |row| &row.uts),
];

/// What templates see of a container.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct View {
    auto_remove: bool,
    command: String,
    created: String,
    created_at: String,
    created_human: String,
    exited: bool,
    exited_at: i64,
    exit_code: i32,
    #[serde(rename = "ID")]
    id: String,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    labels: BTreeMap<String, String>,
    mounts: Vec<String>,
    names: String,
    networks: String,
    pid: i32,
    #[serde(skip)]
    pid_text: String,
    pod: String,
    pod_name: String,
    ports: String,
    restarts: u32,
    running_for: String,
    size: String,
    started_at: i64,
    state: String,
    status: String,
    #[serde(rename = "CGROUPNS")]
    cgroup: String,
    #[serde(rename = "IPC")]
    ipc: String,
    #[serde(rename = "MNT")]
    mnt: String,
    #[serde(rename = "NET")]
    net: String,
    #[serde(rename = "PIDNS")]
    pidns: String,
    #[serde(rename = "USERNS")]
    userns: String,
    #[serde(rename = "UTS")]
    uts: String,
}

impl View {
    pub(super) fn new(row: &PsRow, no_trunc: bool, now: Timestamp) -> View {
        let command = row.command.join(" ");
        let created_human = human::ago(row.created, now);
        View {
            auto_remove: row.auto_remove,
            command: if no_trunc { command } else { human::shortened(&command, 20) },
            created: human::moment(row.created),
            created_at: human::moment(row.created),
            running_for: created_human.clone(),
            created_human,
            exited: row.exited,
            exited_at: row.exited_at.unix_seconds(),
            exit_code: row.exit_code,
            id: id(row, no_trunc).to_owned(),
            image: row.image.clone(),
            image_id: if no_trunc {
                row.image_id.clone()
            } else {
                human::short_id(&row.image_id).to_owned()
            },
            labels: row.labels.clone(),
            mounts: row.mounts.clone(),
            names: row.names.join(","),
            networks: row.networks.join(","),
            pid: row.pid,
            pid_text: row.pid.to_string(),
            pod: if no_trunc { row.pod.clone() } else { human::short_id(&row.pod).to_owned() },
            pod_name: row.pod_name.clone(),
            ports: row.ports.iter().map(port).collect::<Vec<_>>().join(", "),
            restarts: row.restarts,
            size: row.size.map(size).unwrap_or_default(),
            started_at: row.started_at.unix_seconds(),
            state: row.state.clone(),
            status: status(row, now),
            cgroup: row.namespaces.cgroup.clone(),
            ipc: row.namespaces.ipc.clone(),
            mnt: row.namespaces.mnt.clone(),
            net: row.namespaces.net.clone(),
            pidns: row.namespaces.pid.clone(),
            userns: row.namespaces.user.clone(),
            uts: row.namespaces.uts.clone(),
        }
    }
}

/// What `--format json` shows: the report and the two texts that podman adds to it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PsJson<'a> {
    #[serde(flatten)]
    row: &'a PsRow,
    created_at: String,
    status: String,
}

impl<'a> PsJson<'a> {
    pub(super) fn new(row: &'a PsRow, now: Timestamp) -> PsJson<'a> {
        PsJson { row, created_at: human::ago(row.created, now), status: status(row, now) }
    }
}

/// The table of the rows with the given columns, and the size as the last one.
pub(super) fn table(
    rows: &[View],
    columns: &[Column],
    with_size: bool,
    with_heading: bool,
) -> String {
    let size: Column = ("SIZE", |row| &row.size);
    let columns: Vec<Column> = columns.iter().copied().chain(with_size.then_some(size)).collect();
    let mut table = Table::new();
    if with_heading {
        table.row(columns.iter().map(|(heading, _)| *heading));
    }
    for row in rows {
        table.row(columns.iter().map(|(_, cell)| cell(row)));
    }
    table.render()
}

/// The id in the length asked for.
pub(super) fn id(row: &PsRow, no_trunc: bool) -> &str {
    if no_trunc { &row.id } else { human::short_id(&row.id) }
}

/// The status with the time it has lasted, counted from the start and from the end, not from the creation.
fn status(row: &PsRow, now: Timestamp) -> String {
    match row.state.as_str() {
        "running" => format!("Up {}", human::since(row.started_at, now)),
        "exited" | "stopped" if row.exited_at.is_never() => format!("Exited ({})", row.exit_code),
        "exited" | "stopped" => {
            format!("Exited ({}) {}", row.exit_code, human::ago(row.exited_at, now))
        }
        other => {
            let mut letters = other.chars();
            letters
                .next()
                .map(|first| first.to_uppercase().chain(letters).collect())
                .unwrap_or_default()
        }
    }
}

fn size(size: PsSize) -> String {
    format!("{} (virtual {})", human::size(size.rw_size), human::size(size.root_fs_size))
}

/// `0.0.0.0:8080->80/tcp`, or a range of ports.
fn port(mapping: &PortMapping) -> String {
    let address = if mapping.host_ip.is_empty() { "0.0.0.0" } else { &mapping.host_ip };
    let span = |port: u16| match mapping.range {
        0 | 1 => port.to_string(),
        range => format!("{port}-{}", port.saturating_add(range - 1)),
    };
    format!(
        "{address}:{}->{}/{}",
        span(mapping.host_port),
        span(mapping.container_port),
        mapping.protocol
    )
}
