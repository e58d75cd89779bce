//! The commands. Data goes to standard output, everything else to standard error.
//!
//! Each mailbox is done by itself: what goes wrong with one does not stop the others, and the exit
//! code tells the gravest end of all.

mod approval;
mod component;
mod explain;
mod history;
mod human;
mod job;
mod json;
mod progress;
mod proxy;
mod switch;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use contact_sync_host::config::{self, Config, ConfigError, TenantSettings};
use contact_sync_host::credentials::SignInError;
use contact_sync_host::store::{MemoryStore, OpenError, SqliteStore, Store};
use contact_sync_host::types::{Operation, Outcome, Report};
use contact_sync_host::{
    Error, Host, HostSettings, Mailbox, Mode, Overview, Pairing, Pass, PluginError, Tenant, TwoIds,
    Verdict,
};

use progress::Display;

const EXAMPLES: &str = "\
Examples:
  contact-sync example-config > contact-sync.toml   begin with a commented configuration
  contact-sync check                                does it all work?
  contact-sync preview                              what would a sync do?
  contact-sync sync --tenant muster --mailbox koeln one mailbox only
  contact-sync sync --json                          one JSON object per mailbox and line
  contact-sync approve                              what waits for my approval?
  contact-sync explain \"Erika Mustermann\"           why she is, or is not, in the mailbox
  contact-sync component --out components           the plugin for other hosts
  contact-sync export-csv > contacts.csv            all contacts of the CRM
  contact-sync history --since 2d                   what was deleted or replaced since
  contact-sync restore mustermann --dry-run         what would it take to get it back?
  contact-sync proxy                                signs in for another host of the plugin

Exit codes:
  0    everything is done
  1    wrong usage, or an error of the program itself
  2    the configuration has mistakes
  3    something waits for a person's approval (of a preview: would wait); all else is done
  4    a mailbox is not ready, or a pass failed or broke off
  130  stopped by Ctrl-C; nothing is lost";

/// Keeps the contacts of FLOWFACT and of Exchange mailboxes in step.
#[derive(Debug, Parser)]
#[command(name = "contact-sync", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args, Debug)]
struct Options {
    /// The configuration.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "contact-sync.toml"
    )]
    config: PathBuf,
    /// Only this tenant.
    #[arg(long, global = true, value_name = "ID")]
    tenant: Option<String>,
    /// Only this mailbox; may be given several times.
    #[arg(long, global = true, value_name = "ID")]
    mailbox: Vec<String>,
    /// Prints JSON on standard output, for machines: one object per mailbox and line.
    #[arg(long, global = true)]
    json: bool,
    /// Runs another build of the plugin.
    #[arg(long, global = true, value_name = "FILE")]
    plugin: Option<PathBuf>,
    /// Tells more, on standard error.
    #[arg(long, short, global = true)]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Signs in to both sides, and says what is missing. Writes nothing.
    Check,
    /// Says what a sync would do. Writes nothing.
    Preview,
    /// Syncs.
    Sync,
    /// Says what earlier passes left behind, without asking anybody.
    Status,
    /// Says why a contact, or one of its values, is or is not in a mailbox. Writes nothing.
    #[command(after_help = explain::HELP)]
    Explain {
        /// Who: an id of either side, words of the name, an e-mail address or a number.
        contact: String,
    },
    /// Answers a question of a pass: who is who. The next pass acts on it.
    #[command(group = clap::ArgGroup::new("who").required(true).args(["crm_contact", "as_new"]))]
    Pair {
        /// Id of the contact in the CRM.
        #[arg(requires = "mailbox_contact")]
        crm_contact: Option<String>,
        /// Id of the contact in the mailbox: they are the same person.
        mailbox_contact: Option<String>,
        /// This mailbox contact is somebody new.
        #[arg(long, value_name = "MAILBOX-CONTACT")]
        as_new: Option<String>,
    },
    /// Shows what the guard holds back; with TOKEN, lets the next sync carry it out.
    #[command(after_help = approval::APPROVE_HELP)]
    Approve(approval::Answer),
    /// Shows what the guard holds back; with TOKEN, lets the next sync bring it back.
    #[command(after_help = approval::REJECT_HELP)]
    Reject(approval::Answer),
    /// Says that a mailbox has moved: the next pass finds its contacts under their new ids.
    #[command(after_help = switch::REBIND_HELP)]
    Rebind {
        /// Does not ask whether you are sure.
        #[arg(long)]
        yes: bool,
    },
    /// Switches mailboxes off: everything is remembered, and nothing is deleted.
    #[command(after_help = switch::SUSPEND_HELP)]
    Suspend,
    /// Lists what was deleted or replaced, newest first, from the journal alone.
    History(history::Filter),
    /// Brings back a contact, one entry of the history, or all that one pass deleted or replaced.
    #[command(after_help = history::RESTORE_EXAMPLES)]
    Restore {
        /// Id of a contact (CRM or mailbox), of an entry or of a pass; or a piece of a name or of
        /// an e-mail address, if only one contact of the history has it.
        what: String,
        /// Only says what would be done, and what cannot come back. Writes nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Signs in for hosts of the plugin that cannot, until Ctrl-C.
    #[command(after_help = proxy::HELP)]
    Proxy(proxy::Settings),
    /// Writes all contacts of the CRM as CSV.
    ExportCsv {
        /// Where to, instead of standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Prints a configuration with every key explained.
    ExampleConfig,
    /// Prints the job of a mailbox, for other hosts: what a pass is told, without any secret.
    #[command(after_help = job::HELP)]
    Job,
    /// Writes the plugin for other hosts: by itself, with a store, and as a program.
    #[command(after_help = component::HELP)]
    Component {
        /// The folder to write to.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
    },
}

/// How a run ended. Graver ends are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Complete,
    Configuration,
    NeedsApproval,
    Failed,
    Internal,
    Interrupted,
}

impl From<End> for ExitCode {
    fn from(end: End) -> Self {
        Self::from(match end {
            End::Complete => 0,
            End::Internal => 1,
            End::Configuration => 2,
            End::NeedsApproval => 3,
            End::Failed => 4,
            End::Interrupted => 130,
        })
    }
}

/// What ends a run before its mailboxes are done.
enum Stop {
    /// The mistakes in the configuration.
    Configuration(Vec<ConfigError>),
    /// One message and its hint.
    Message(End, String, Option<String>),
    /// Standard output is gone: whoever read it has enough.
    Output(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<PluginError> for Stop {
    fn from(error: PluginError) -> Self {
        Self::Message(
            End::Internal,
            error.to_string(),
            Some(error.remedy().into()),
        )
    }
}

impl From<OpenError> for Stop {
    fn from(error: OpenError) -> Self {
        let hint = "`store` in the configuration names the file; if it is damaged, put a copy of it \
                    back, or move it away: the next sync then finds the pairs anew and deletes \
                    nothing";
        Self::Message(End::Internal, error.to_string(), Some(hint.into()))
    }
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let usage = error.use_stderr();
            // Nothing can be told where even this cannot be printed.
            _ = error.print();
            return if usage {
                End::Internal.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    if let Command::Rebind { yes } = cli.command
        && let Err(stop) = switch::confirmed_rebind(yes)
    {
        return told(stop).into();
    }
    log(&cli);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return told(Stop::Message(End::Internal, error.to_string(), None)).into(),
    };
    let end = runtime.block_on(async {
        tokio::select! {
            ended = run(&cli) => ended.unwrap_or_else(told),
            // A proxy ends what is under way by itself.
            _ = tokio::signal::ctrl_c(), if !matches!(cli.command, Command::Proxy(_)) => {
                // The pass was dropped above; its lease is given back meanwhile.
                tokio::time::sleep(Duration::from_millis(300)).await;
                let message = "stopped; nothing is lost, the next pass goes on".into();
                told(Stop::Message(End::Interrupted, message, None))
            }
        }
    });
    end.into()
}

async fn run(cli: &Cli) -> Result<End, Stop> {
    let options = &cli.options;
    if let Command::ExampleConfig = &cli.command {
        io::stdout().lock().write_all(config::EXAMPLE.as_bytes())?;
        return Ok(End::Complete);
    }
    if let Command::Component { out } = &cli.command {
        return component::write(&plugin(options)?, out).await;
    }
    let config = Config::load(&options.config).map_err(Stop::Configuration)?;
    for error in &config.set_aside {
        tell("error", &error.to_string(), Some(&error.remedy));
    }
    let mut end = if config.set_aside.is_empty() {
        End::Complete
    } else {
        End::Configuration
    };
    let tenants = chosen(&config, options)?;
    if let Command::Job = &cli.command {
        return job::print(&tenants);
    }
    let remembers = matches!(
        cli.command,
        Command::Sync
            | Command::Status
            | Command::Pair { .. }
            | Command::Approve(_)
            | Command::Reject(_)
    );
    let host = host(options, &config, remembers || config.store.exists()).await?;
    if let Command::Proxy(settings) = &cli.command {
        return Ok(end.max(proxy::run(cli, settings, &host, &tenants).await?));
    }
    for settings in &tenants {
        let tenant = match host.tenant(settings) {
            Ok(tenant) => tenant,
            Err(error) => {
                tell_error(&format!("tenant `{}`", settings.id), &error);
                end = end.max(End::Failed);
                continue;
            }
        };
        end = end.max(run_tenant(cli, &tenant, tenants.len()).await?);
    }
    Ok(end)
}

async fn run_tenant(cli: &Cli, tenant: &Tenant, tenant_count: usize) -> Result<End, Stop> {
    let Some(first) = tenant.mailboxes().first() else {
        tell(
            "warning",
            &format!("tenant `{}` has no mailbox", tenant.id()),
            None,
        );
        return Ok(End::Complete);
    };
    let only_one = |what: &str| {
        if tenant.mailboxes().len() == 1 && tenant_count == 1 {
            return Ok(());
        }
        let message = format!("{what} is for one mailbox");
        let hint = "name it with `--tenant ID --mailbox ID`";
        Err(Stop::Message(End::Internal, message, Some(hint.into())))
    };
    match &cli.command {
        Command::Pair {
            crm_contact,
            mailbox_contact,
            as_new,
        } => {
            only_one("`pair`")?;
            let (crm_contact, mailbox_contact) = (crm_contact.as_ref(), mailbox_contact.as_ref());
            let pairing = pairing(crm_contact, mailbox_contact, as_new.as_ref())?;
            let paired = first.pair(&pairing).await;
            let place = Place::of(tenant, first);
            let (print, to_json) = (human::operation, json::operation);
            show(cli, &place, paired, End::Complete, print, to_json)
        }
        Command::Explain { contact } => {
            only_one_tenant("`explain`", tenant_count)?;
            explain::run(cli, tenant, contact).await
        }
        Command::Rebind { .. } => {
            only_one("`rebind`")?;
            switch::rebind(cli, tenant).await
        }
        Command::Suspend => switch::suspend(cli, tenant).await,
        Command::Restore { what, dry_run } => {
            only_one_tenant("`restore`", tenant_count)?;
            history::restore(cli, tenant, what, *dry_run).await
        }
        Command::ExportCsv { out } => {
            only_one_tenant("`export-csv`", tenant_count)?;
            export_csv(tenant, first, out.as_deref()).await
        }
        command => {
            if let Command::Approve(answer) | Command::Reject(answer) = command
                && answer.token.is_some()
            {
                only_one("an answer")?;
            }
            let mut end = End::Complete;
            for mailbox in tenant.mailboxes() {
                end = end.max(run_mailbox(cli, tenant, mailbox).await?);
            }
            Ok(end)
        }
    }
}

fn only_one_tenant(what: &str, tenant_count: usize) -> Result<(), Stop> {
    if tenant_count == 1 {
        return Ok(());
    }
    let hint = "name it with `--tenant ID`".to_owned();
    let message = format!("{what} is for one tenant");
    Err(Stop::Message(End::Internal, message, Some(hint)))
}

fn pairing(
    crm_contact: Option<&String>,
    mailbox_contact: Option<&String>,
    as_new: Option<&String>,
) -> Result<Pairing, Stop> {
    match (crm_contact, mailbox_contact, as_new) {
        (Some(crm_id), Some(mailbox_id), None) => Ok(Pairing::Same(TwoIds {
            crm_id: crm_id.clone(),
            mailbox_id: mailbox_id.clone(),
        })),
        (_, _, Some(mailbox_id)) => Ok(Pairing::AsNew(mailbox_id.clone())),
        _ => Err(Stop::Message(End::Internal, "nobody is named".into(), None)),
    }
}

async fn run_mailbox(cli: &Cli, tenant: &Tenant, mailbox: &Mailbox) -> Result<End, Stop> {
    let place = Place::of(tenant, mailbox);
    match &cli.command {
        Command::Check => {
            let checked = mailbox.check().await;
            let ready = checked.as_ref().is_ok_and(|checked| checked.checkup.ready);
            let end = if ready { End::Complete } else { End::Failed };
            show(cli, &place, checked, end, human::checkup, json::checkup)
        }
        Command::Status => {
            let overview = mailbox.status().await;
            let approve = approval::command(cli, &place, Verdict::Approve, None);
            let print = |out: &mut dyn Write, place: &Place, overview: &Overview| {
                human::overview(out, place, overview, &approve)
            };
            let end = show(cli, &place, overview, End::Complete, print, json::overview)?;
            if cli.options.verbose
                && let Ok(Some(crash)) = mailbox.last_crash().await
            {
                human::crash(&mut io::stderr().lock(), &crash)?;
            }
            Ok(end)
        }
        Command::History(filter) => history::show(cli, &place, mailbox, filter).await,
        Command::Approve(answer) => {
            approval::run(cli, &place, mailbox, answer, Verdict::Approve).await
        }
        Command::Reject(answer) => {
            approval::run(cli, &place, mailbox, answer, Verdict::Reject).await
        }
        Command::Preview => {
            let opened = mailbox.open(Mode::Preview).await;
            pass(cli, &place, opened, Purpose::Preview).await
        }
        _ => {
            let opened = mailbox.open(Mode::Sync).await;
            pass(cli, &place, opened, Purpose::Sync).await
        }
    }
}

/// What a pass was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Preview,
    Sync,
    Restore,
    DryRestore,
}

impl Purpose {
    /// Whether it only says what would be done.
    fn is_dry(self) -> bool {
        matches!(self, Self::Preview | Self::DryRestore)
    }
}

/// What a pass came to, as it is shown.
struct Shown {
    purpose: Purpose,
    report: Report,
    /// Of a sync only those that were not carried out; of any other pass all.
    operations: Vec<Operation>,
    denials: Vec<String>,
    sign_in: Option<SignInError>,
    /// The command that shows what waits for an approval.
    approve: String,
}

async fn pass(
    cli: &Cli,
    place: &Place,
    opened: Result<Pass, Error>,
    purpose: Purpose,
) -> Result<End, Stop> {
    let mut pass = match opened {
        Ok(pass) => pass,
        Err(error) => return show_error(cli, place, &error),
    };
    let shown = drive(cli, place, &mut pass, purpose).await;
    pass.close().await;
    let end = match &shown {
        Ok(shown) => match shown.report.outcome {
            Outcome::Complete => End::Complete,
            Outcome::NeedsApproval(_) => End::NeedsApproval,
            Outcome::Stopped(_) => End::Failed,
        },
        Err(_) => End::Failed,
    };
    show(cli, place, shown, end, human::pass, json::pass)
}

async fn drive(
    cli: &Cli,
    place: &Place,
    pass: &mut Pass,
    purpose: Purpose,
) -> Result<Shown, Error> {
    let mut display = Display::new(&place.to_string(), !cli.options.json);
    let report = pass.run(|progress| display.show(progress)).await;
    display.finish();
    let mut report = report?;
    let mut operations: Vec<Operation> = Vec::new();
    let mut first = 0;
    while first < report.operations_total {
        let page = pass.operations(first).await?;
        // The numbers are the plugin's; only those that lead on are followed.
        let next = page.last().map(|last| last.number.saturating_add(1));
        let Some(next) = next.filter(|next| *next > first) else {
            break;
        };
        first = next;
        let wanted = |operation: &Operation| purpose != Purpose::Sync || !human::is_done(operation);
        operations.extend(page.into_iter().filter(wanted));
    }
    while count(&report.findings) < report.findings_total {
        let page = pass.findings(count(&report.findings)).await?;
        if page.is_empty() {
            break;
        }
        report.findings.extend(page);
    }
    Ok(Shown {
        purpose,
        report,
        operations,
        denials: pass.denials(),
        sign_in: pass.sign_in_error(),
        approve: approval::command(cli, place, Verdict::Approve, None),
    })
}

fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

async fn export_csv(tenant: &Tenant, mailbox: &Mailbox, out: Option<&Path>) -> Result<End, Stop> {
    let mut target: Box<dyn Write> = match out {
        Some(path) => Box::new(File::create(path).map_err(|error| {
            let message = format!("cannot write `{}`: {error}", path.display());
            Stop::Message(End::Internal, message, None)
        })?),
        None => Box::new(io::stdout().lock()),
    };
    let mut written = Ok(());
    let exported = mailbox
        .export_csv(|part| {
            written = target.write_all(part.as_bytes());
            written.is_ok()
        })
        .await;
    written.and_then(|()| target.flush())?;
    match exported {
        Ok(contacts) => {
            let place = out.map_or_else(String::new, |path| format!(" to {}", path.display()));
            _ = writeln!(io::stderr(), "exported {contacts} contacts{place}");
            Ok(End::Complete)
        }
        Err(error) => {
            tell_error(&format!("tenant `{}`", tenant.id()), &error);
            Ok(End::Failed)
        }
    }
}

/// Which mailbox of which tenant.
struct Place {
    tenant: String,
    mailbox: String,
}

impl Place {
    fn of(tenant: &Tenant, mailbox: &Mailbox) -> Self {
        Self {
            tenant: tenant.id().to_owned(),
            mailbox: mailbox.id().to_owned(),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.tenant, self.mailbox)
    }
}

/// Prints a result or an error, for people or machines.
fn show<T>(
    cli: &Cli,
    place: &Place,
    result: Result<T, Error>,
    end: End,
    human: impl FnOnce(&mut dyn Write, &Place, &T) -> io::Result<()>,
    json: impl FnOnce(&T) -> serde_json::Value,
) -> Result<End, Stop> {
    let result = match result {
        Ok(result) => result,
        Err(error) => return show_error(cli, place, &error),
    };
    let mut out = io::stdout().lock();
    if cli.options.json {
        json::line(&mut out, place, json(&result))?;
    } else {
        human(&mut out, place, &result)?;
    }
    Ok(end)
}

fn show_error(cli: &Cli, place: &Place, error: &Error) -> Result<End, Stop> {
    if cli.options.json {
        json::line(&mut io::stdout().lock(), place, json::error(error))?;
    }
    tell_error(&place.to_string(), error);
    Ok(End::Failed)
}

fn tell_error(place: &str, error: &Error) {
    tell(
        "error",
        &format!("{place}: {error}"),
        error.remedy().as_deref(),
    );
    if let Error::Failed {
        sign_in: Some(sign_in),
        ..
    } = error
    {
        tell("note", &sign_in.to_string(), None);
    }
}

/// Prints a message and its hint on standard error.
fn tell(kind: &str, message: &str, hint: Option<&str>) {
    let mut out = io::stderr().lock();
    // Nobody is left to tell if this fails.
    _ = writeln!(out, "{kind}: {message}");
    if let Some(hint) = hint {
        _ = writeln!(out, "\nhint: {hint}");
    }
}

fn told(stop: Stop) -> End {
    match stop {
        Stop::Configuration(errors) => {
            for error in &errors {
                tell("error", &error.to_string(), Some(&error.remedy));
            }
            End::Configuration
        }
        Stop::Message(end, message, hint) => {
            tell("error", &message, hint.as_deref());
            end
        }
        Stop::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => End::Complete,
        Stop::Output(error) => {
            tell("error", &format!("cannot write: {error}"), None);
            End::Internal
        }
    }
}

/// The tenants and mailboxes that the options name; all if they name none.
fn chosen(config: &Config, options: &Options) -> Result<Vec<TenantSettings>, Stop> {
    let unknown = |what: &str, id: &str, known: Vec<&str>| {
        let hint = format!("known: {}", known.join(", "));
        Stop::Message(
            End::Internal,
            format!("there is no {what} `{id}`"),
            Some(hint),
        )
    };
    let mut tenants = config.tenants.clone();
    if let Some(id) = &options.tenant {
        tenants.retain(|tenant| tenant.id == *id);
        if tenants.is_empty() {
            let known = config
                .tenants
                .iter()
                .map(|tenant| tenant.id.as_str())
                .collect();
            return Err(unknown("tenant", id, known));
        }
    }
    for id in &options.mailbox {
        let mut known = tenants.iter().flat_map(|tenant| &tenant.mailboxes);
        if known.all(|mailbox| mailbox.id != *id) {
            let known = tenants.iter().flat_map(|tenant| &tenant.mailboxes);
            let known = known.map(|mailbox| mailbox.id.as_str()).collect();
            return Err(unknown("mailbox", id, known));
        }
    }
    if !options.mailbox.is_empty() {
        for tenant in &mut tenants {
            tenant
                .mailboxes
                .retain(|mailbox| options.mailbox.contains(&mailbox.id));
        }
        tenants.retain(|tenant| !tenant.mailboxes.is_empty());
    }
    Ok(tenants)
}

/// A first `check` or `preview` leaves nothing behind, not even an empty store.
async fn host(options: &Options, config: &Config, remembers: bool) -> Result<Host, Stop> {
    let plugin = plugin(options)?;
    let store: Arc<dyn Store> = if remembers {
        Arc::new(SqliteStore::open(&config.store)?)
    } else {
        Arc::new(MemoryStore::default())
    };
    let settings = HostSettings {
        cache: cache_folder(),
        ..HostSettings::usual(plugin, store)
    };
    Ok(Host::new(settings).await?)
}

fn plugin(options: &Options) -> Result<Vec<u8>, Stop> {
    let Some(path) = &options.plugin else {
        return Ok(contact_sync_artifact::COMPONENT.to_vec());
    };
    std::fs::read(path).map_err(|error| {
        let message = format!("cannot read the plugin `{}`: {error}", path.display());
        let hint = "leave `--plugin` out to run the built-in one".to_owned();
        Stop::Message(End::Internal, message, Some(hint))
    })
}

/// Where the XDG base directory specification keeps what can be made again.
fn cache_folder() -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let caches = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
    Some(caches.join("contact-sync"))
}

/// Errors of the host itself, more with `--verbose`; `RUST_LOG` says otherwise. Ids only. What a
/// proxy does not let out, or cannot sign in to, stands in no result that its user sees.
fn log(cli: &Cli) {
    use tracing_subscriber::EnvFilter;
    let usual = match cli.command {
        _ if cli.options.verbose => "contact_sync_host=debug",
        Command::Proxy(_) => "contact_sync_host=warn",
        _ => "contact_sync_host=error",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .without_time()
        .init();
}
