//! Networks: bridges, addresses, published ports, isolation. Each test has a network of its own (`TestEnv::netns`); the
//! world outside is another namespace, joined by a pair of devices.

use dhow_tests::image::BASE;
use dhow_tests::{NetNs, TestEnv, requires, wait_until};

/// The host's address in the world outside, and that of a client there.
const HOST: &str = "192.0.2.1";
const CLIENT: &str = "192.0.2.2";

/// Joins the environment's network and a new one.
fn outside(env: &TestEnv) -> NetNs {
    let client = NetNs::new();
    let ip = |line: &str| env.tool("/usr/bin/env").args(["ip"]).args(line.split(' '));
    ip("link add out0 type veth peer name out1").ok();
    // A namespace is named by a process in it: one that only waits.
    let waiting = env.tool("/usr/bin/env").args(["cat"]).netns(&client).spawn();
    let pid = waiting.pid().to_string();
    ip(&format!("link set out1 netns {pid}")).ok();
    ip(&format!("addr add {HOST}/24 dev out0")).ok();
    ip("link set out0 up").ok();
    let there = |line: &str| {
        env.tool("/usr/bin/env").args(["ip"]).args(line.split(' ')).netns(&client).ok()
    };
    there(&format!("addr add {CLIENT}/24 dev out1"));
    there("link set out1 up");
    waiting.finish();
    client
}

/// What an HTTP client in a network gets from an address; nothing where it gets nothing.
fn fetch(env: &TestEnv, netns: &NetNs, address: &str) -> String {
    env.tool(dhow_tests::image::probe())
        .args(["fetch", &with_port(address)])
        .netns(netns)
        .run()
        .text()
}

fn with_port(address: &str) -> String {
    if address.contains(':') { address.to_owned() } else { format!("{address}:80") }
}

/// A web server that says its name.
fn serve(env: &TestEnv, name: &str, flags: &str) {
    env.ok(&format!("run -d --name {name} {flags} {BASE} probe serve {name}"));
    let own = env.inspect(name, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
    wait_until(&format!("{name} serves"), || fetch(env, env.netns(), &own) == name);
}

#[test]
fn a_published_port_is_reached_from_everywhere() {
    requires!("root", "overlay", "runc", "ip", "nft");
    let env = TestEnv::with_base();
    let client = outside(&env);
    serve(&env, "web", "-p 8080:80 -p 127.0.0.1:8081:80");
    assert_eq!(fetch(&env, &client, &format!("{HOST}:8080")), "web", "from another host");
    assert_eq!(fetch(&env, env.netns(), "127.0.0.1:8080"), "web", "from the host by its loopback");
    assert_eq!(
        fetch(&env, env.netns(), &format!("{HOST}:8080")),
        "web",
        "from the host by its own address"
    );
    let wget = |from: &str, address: &str| {
        env.dhow(&format!("{from} probe fetch {}", with_port(address))).run().text()
    };
    let other = format!("run --rm {BASE}");
    assert_eq!(wget(&other, &format!("{HOST}:8080")), "web", "from another container");
    // What is published on the host's loopback is nobody else's.
    assert_eq!(fetch(&env, env.netns(), "127.0.0.1:8081"), "web");
    assert_eq!(fetch(&env, &client, &format!("{HOST}:8081")), "");
    // A neighbour who routes to the container's own address gets nothing that was not published.
    let own = env.inspect("web", "{{.NetworkSettings.IPAddress}}");
    env.tool("/usr/bin/env")
        .args(["ip", "route", "add", "10.84.0.0/16", "via", HOST])
        .netns(&client)
        .ok();
    assert_eq!(fetch(&env, &client, &own), "");

    assert_eq!(env.ok("port web 80"), "0.0.0.0:8080\n127.0.0.1:8081");
    assert!(env.ok("ps").contains("0.0.0.0:8080->80/tcp"));
    assert_eq!(
        env.inspect("web", r#"{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}"#),
        "8080"
    );
    env.fails(&format!("run --rm -p 8080:80 {BASE} true"), 125, "in use by container web");
    env.ok("rm -f -t 0 web");
    assert_eq!(fetch(&env, &client, &format!("{HOST}:8080")), "");
    env.assert_no_containers();
}

#[test]
fn random_ports_ranges_and_all_that_is_exposed() {
    requires!("root", "overlay", "runc", "ip", "nft");
    let env = TestEnv::with_base();
    serve(&env, "one", "-p 80");
    let port = env.ok("port one 80");
    assert_eq!(fetch(&env, env.netns(), &port.replace("0.0.0.0", "127.0.0.1")), "one");
    serve(&env, "two", "-P --expose 80 --expose 81/udp");
    assert_eq!(env.ok("port two").lines().count(), 2);
    assert_ne!(env.ok("port two 80"), port);
    env.ok(&format!("run -d --name three -p 9000-9002:80-82 {BASE} probe hold"));
    assert!(env.ok("ps").contains("0.0.0.0:9000-9002->80-82/tcp"), "{}", env.ok("ps"));
    env.fails("port three 90", 125, "does not publish");
    env.fails(&format!("run --rm -p 127.0.0.1:9001:1 {BASE} true"), 125, "container three");
}

#[test]
fn a_container_reaches_out_and_is_called_by_the_host() {
    requires!("root", "overlay", "runc", "ip", "nft");
    let env = TestEnv::with_base();
    let client = outside(&env);
    let ping = |address: &str| {
        env.dhow(&format!("run --rm {BASE} busybox ping -c 1 -W 2 {address}")).run().code
    };
    assert_eq!(
        ping(CLIENT),
        0,
        "masqueraded: the other host knows no way back to a container's address"
    );
    assert_eq!(ping("10.84.0.1"), 0, "the bridge");
    let hosts = env.ok(&format!(
        "run --rm --name me --hostname box --add-host up:host-gateway {BASE} cat /etc/hosts"
    ));
    for line in [
        "10.84.0.1\thost.containers.internal",
        "10.84.0.1\thost.docker.internal",
        "10.84.0.1\tup",
        "10.84.0.2\tbox me",
    ] {
        assert!(hosts.contains(line), "{line}: {hosts}");
    }
    assert_eq!(fetch(&env, &client, HOST), "");
    let none = env.dhow(&format!("run --rm --no-hosts {BASE} cat /etc/hosts")).run();
    assert!(!none.both().contains("internal"), "{}", none.both());
}

#[test]
fn networks_are_kept_apart() {
    requires!("root", "overlay", "runc", "ip", "nft");
    let env = TestEnv::with_base();
    let client = outside(&env);
    env.ok("network create --subnet 10.99.1.0/24 --label a=b red");
    env.ok("network create --internal inner");
    env.ok("network create --opt isolate=false open1");
    env.ok("network create --opt isolate=false open2");
    serve(
        &env,
        "web",
        "--network red:ip=10.99.1.77,mac=02:00:00:00:00:77,interface_name=red0 -p 8080:80",
    );
    assert_eq!(env.ok("exec web busybox ip -o addr show red0").matches("10.99.1.77/24").count(), 1);
    assert_eq!(env.inspect("web", "{{.NetworkSettings.MacAddress}}"), "02:00:00:00:00:77");
    let wget = |network: &str, address: &str| {
        let line =
            format!("run --rm --network {network} {BASE} probe fetch {}", with_port(address));
        env.dhow(&line).run().text()
    };
    assert_eq!(wget("red", "10.99.1.77"), "web");
    assert_eq!(wget("bridge", "10.99.1.77"), "", "another network");
    assert_eq!(wget("bridge", &format!("{HOST}:8080")), "web", "but what is published is for all");
    let ping = |network: &str, address: &str| {
        env.dhow(&format!("run --rm --network {network} {BASE} busybox ping -c 1 -W 1 {address}"))
            .run()
            .code
    };
    assert_eq!(ping("red", CLIENT), 0);
    assert_ne!(ping("inner", CLIENT), 0, "internal");
    serve(&env, "open", "--network open1");
    let open = env.inspect("open", "{{(index .NetworkSettings.Networks \"open1\").IPAddress}}");
    assert_eq!(wget("open2", &open), "open", "two that ask not to be isolated");
    assert_eq!(wget("red", &open), "");
    env.fails("network rm red", 2, "in use");
    assert_eq!(env.ok("network ls -q --filter label=a=b"), "red");
    let two =
        env.ok(&format!("run --rm --network red --network open1 {BASE} busybox ip -o -4 addr"));
    assert!(two.contains("eth0") && two.contains("eth1"), "{two}");
    assert_eq!(fetch(&env, &client, &format!("{HOST}:8080")), "web");
    env.ok("network rm -f -t 0 red");
    assert_eq!(env.ok("ps -aq --filter name=web"), "");
    env.ok("rm -f -t 0 open");
    env.ok("network rm inner open1 open2");
    env.assert_no_containers();
}

#[test]
fn addresses_are_given_once_and_come_back() {
    requires!("root", "overlay", "runc", "ip", "nft");
    let env = TestEnv::with_base();
    env.ok("network create --subnet 10.99.2.0/24 --ip-range 10.99.2.8-10.99.2.9 --ipv6 --subnet fd00:99::/64 small");
    let address =
        |name: &str| env.inspect(name, "{{(index .NetworkSettings.Networks \"small\").IPAddress}}");
    env.ok(&format!("run -d --name a --network small {BASE} probe hold"));
    env.ok(&format!("run -d --name b --network small {BASE} probe hold"));
    assert_eq!([address("a"), address("b")], ["10.99.2.8", "10.99.2.9"]);
    let six = env.inspect("a", "{{(index .NetworkSettings.Networks \"small\").GlobalIPv6Address}}");
    assert_eq!(six, "fd00:99::2");
    assert_eq!(env.dhow(&format!("exec b busybox ping -6 -c 1 -W 2 {six}")).run().code, 0);
    env.fails(
        &format!("run --rm --network small {BASE} true"),
        125,
        "no free address in 10.99.2.8-10.99.2.9",
    );
    env.fails(
        &format!("run --rm --network small --ip 10.99.2.8 {BASE} true"),
        125,
        "in use by container",
    );
    env.ok("stop -t 0 a");
    assert_eq!(env.ok(&format!("run --rm --network small {BASE} true")), "");
    env.ok("start a");
    assert_eq!(address("a"), "10.99.2.8");
    env.ok("rm -f -t 0 a b");
    env.ok("network rm small");
    env.assert_no_containers();
}

#[test]
fn fifty_at_once_have_fifty_addresses_and_leave_nothing() {
    requires!("root", "overlay", "runc", "ip", "nft");
    let env = TestEnv::with_base();
    let addresses: Vec<String> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..10)
            .map(|worker| {
                let env = &env;
                scope.spawn(move || {
                    (0..5)
                        .map(|n| {
                            let name = format!("c{worker}-{n}");
                            env.ok(&format!("run -d --name {name} -p 80 {BASE} probe hold"));
                            env.inspect(
                                &name,
                                "{{.NetworkSettings.IPAddress}} {{.NetworkSettings.Ports}}",
                            )
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        started.into_iter().flat_map(|worker| worker.join().expect("it starts")).collect()
    });
    let different: std::collections::BTreeSet<&String> = addresses.iter().collect();
    assert_eq!(different.len(), 50, "{addresses:?}");
    env.ok("rm -f -t 0 --all");
    assert!(
        std::fs::read_dir(env.run_root("networks/attached")).expect("it was made").next().is_none()
    );
    assert!(
        std::fs::read_dir(env.run_root("networks/leases/bridge"))
            .expect("it was made")
            .next()
            .is_none()
    );
    env.assert_no_containers();
}

#[test]
fn a_flushed_firewall_comes_again() {
    requires!("root", "overlay", "runc", "ip", "nft");
    let env = TestEnv::with_base();
    serve(&env, "web", "-p 8080:80");
    env.tool("/usr/bin/env").args(["nft", "add", "table", "inet", "others"]).ok();
    env.tool("/usr/bin/env").args(["nft", "flush", "ruleset"]).ok();
    env.tool("/usr/bin/env").args(["nft", "add", "table", "inet", "others"]).ok();
    assert_eq!(fetch(&env, env.netns(), "127.0.0.1:8080"), "");
    env.ok("network reload web");
    assert_eq!(fetch(&env, env.netns(), "127.0.0.1:8080"), "web");
    env.tool("/usr/bin/env").args(["nft", "flush", "ruleset"]).ok();
    // The next container finds the table gone and writes it for all.
    env.ok(&format!("run --rm {BASE} true"));
    assert_eq!(fetch(&env, env.netns(), "127.0.0.1:8080"), "web");
}

#[test]
fn a_container_that_shares_a_network_shares_its_names() {
    requires!("root", "overlay", "runc", "ip", "nft");
    let env = TestEnv::with_base();
    env.ok(&format!("run -d --name first --add-host db:10.1.2.3 {BASE} probe hold"));
    let hosts = env.ok(&format!("run --rm --network container:first {BASE} cat /etc/hosts"));
    assert!(hosts.contains("10.1.2.3\tdb"), "{hosts}");
    env.fails(
        &format!("run --rm --network container:first -p 80:80 {BASE} true"),
        125,
        "--publish",
    );
}

#[test]
fn a_reboot_gives_every_address_back() {
    requires!("root", "overlay", "runc", "ip", "nft");
    let env = TestEnv::with_base();
    env.ok(&format!("run -d --name a -p 8080:80 {BASE} probe hold"));
    env.reboot();
    env.ok(&format!("run -d --name b -p 8080:80 {BASE} probe hold"));
    assert_eq!(env.inspect("b", "{{.NetworkSettings.IPAddress}}"), "10.84.0.2");
    env.ok("rm -f -t 0 a b");
    env.assert_no_containers();
}
