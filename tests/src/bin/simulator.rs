//! The simulator as a program: FLOWFACT, Microsoft Graph and Exchange Web Services on loopback,
//! until it is stopped.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that tells people where it listens, and why it cannot"
)]

use clap::{Parser, ValueEnum};
use contact_sync_guest::outside::Timestamp;
use contact_sync_tests::people::Sizes;
use contact_sync_tests::simulator::ews::PATH;
use contact_sync_tests::simulator::ews::sign_in::EwsSignIn;
use contact_sync_tests::simulator::{FlowfactQuirks, GraphQuirks, MarkerKind, Simulator, serve};
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;

/// Answers like FLOWFACT, like Microsoft Graph and like an Exchange Server, with realistic German
/// contacts on both sides.
///
/// Nothing is stored: stop it, and it has forgotten everything. The same seed gives the same
/// contacts and the same credentials.
#[derive(Debug, Parser)]
#[command(
    name = "simulator",
    after_help = "Example:\n  cargo run --bin simulator -- --listen 127.0.0.1:8080 --contacts 200"
)]
struct Arguments {
    /// Where to listen. Port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// How many contacts each side begins with; a third of them are the same people.
    #[arg(long, value_name = "N", default_value_t = 100)]
    contacts: usize,

    /// What contacts, ids and credentials are drawn from.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// A further mailbox, on an Exchange Server, with contacts of its own.
    #[arg(long, value_name = "ADDRESS")]
    exchange_server: Option<String>,

    /// How clients sign in to the Exchange Server.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Authentication::Basic)]
    ews_auth: Authentication,

    /// Takes any caller as signed in: for hosts that add no credentials.
    #[arg(long)]
    open: bool,

    /// Milliseconds that every answer takes at least.
    #[arg(long, value_name = "MS")]
    delay_ms: Option<u32>,
}

/// How clients sign in to the Exchange Server.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Authentication {
    /// User and password with every request.
    Basic,
    /// A handshake for every connection, version 2.
    Ntlm,
    /// Nobody is asked.
    None,
}

const ADDRESS: &str = "anna@makler.example";

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("simulator: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> io::Result<()> {
    let listener = TcpListener::bind(arguments.listen).await.map_err(|error| {
        let listen = arguments.listen;
        let hint = "hint: choose another one with --listen; port 0 takes any free one";
        io::Error::new(
            error.kind(),
            format!("cannot listen on {listen}: {error}\n\n{hint}"),
        )
    })?;
    let address = listener.local_addr()?;
    let simulator = furnished(arguments);
    introduce(address, &simulator);
    introduce_exchange_server(address, &simulator, arguments);
    let simulator = Arc::new(Mutex::new(simulator));
    tokio::select! {
        ended = serve(listener, simulator) => ended,
        stopped = tokio::signal::ctrl_c() => stopped,
    }
}

/// A company and a mailbox with contacts in both.
fn furnished(arguments: &Arguments) -> Simulator {
    let mut simulator = Simulator::new(
        arguments.seed,
        MarkerKind::AccountField,
        FlowfactQuirks::as_documented(),
        GraphQuirks::as_documented(),
    );
    simulator.http_delay_ms = arguments.delay_ms;
    simulator.set_authentication(!arguments.open);
    simulator.ews.sign_in = match arguments.ews_auth {
        Authentication::Basic => EwsSignIn::Basic,
        Authentication::Ntlm => EwsSignIn::Ntlm,
        Authentication::None => EwsSignIn::Nothing,
    };
    simulator.add_mailbox(ADDRESS, "Anna Makler");
    let count = arguments.contacts;
    let sizes = Sizes {
        crm: count,
        mailbox: count,
        shared: count / 3,
    };
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now = Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    simulator.populate(ADDRESS, arguments.seed, sizes, now);
    if let Some(address) = &arguments.exchange_server {
        simulator.add_mailbox(address, address.split('@').next().unwrap_or_default());
        simulator.put_on_exchange_server(address);
        let own = Sizes {
            crm: 0,
            mailbox: count,
            shared: 0,
        };
        simulator.populate(address, arguments.seed.wrapping_add(1), own, now);
    }
    simulator
}

fn introduce(address: SocketAddr, simulator: &Simulator) {
    let (tenant, client, secret) = simulator.graph.application();
    let account = simulator.flowfact.account_id(ADDRESS).unwrap_or_default();
    println!("FLOWFACT         http://{address}/flowfact");
    println!("  platform token {}", simulator.flowfact.platform_token());
    println!("  company        {}", simulator.flowfact.company_id());
    println!("  contacts       {}", simulator.flowfact.contact_count());
    println!("  marker         field `synchronisation`, value {account}");
    println!("Microsoft Graph  http://{address}/graph/v1.0");
    println!("  sign-in        http://{address}/graph/{tenant}/oauth2/v2.0/token");
    println!("  client id      {client}");
    println!("  client secret  {secret}");
    println!("  mailbox        {ADDRESS}");
    println!(
        "  contacts       {}",
        simulator.graph.contact_count(ADDRESS)
    );
}

fn introduce_exchange_server(address: SocketAddr, simulator: &Simulator, arguments: &Arguments) {
    println!("Exchange Server  http://{address}{PATH}");
    println!("  autodiscover   http://{address}/autodiscover/autodiscover.json");
    if !matches!(arguments.ews_auth, Authentication::None) {
        let (service, password) = simulator.ews.service_account();
        println!("  may act for    all mailboxes: {service}, password {password}");
    }
    let mailboxes = simulator.graph.addresses();
    for mailbox in &mailboxes {
        println!("  mailbox        {mailbox}");
        println!(
            "  contacts       {}",
            simulator.graph.contact_count(mailbox)
        );
        let Some((_, password)) = simulator.ews.account(mailbox) else {
            continue;
        };
        if !matches!(arguments.ews_auth, Authentication::None) {
            println!("  password       {password}");
        }
    }
    println!();
    println!("Stop it with Ctrl-C.");
}
