//! A coding agent's machines, over the Model Context Protocol: what its user fixed is all that it gets.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use std::io::Write as _;
use std::process::ChildStdin;
use std::time::{Duration, Instant};

use banger_smoke::{Running, Sandbox, step};
use serde_json::{Value, json};

use crate::guests::{MINIMAL, minimal};
use crate::workspace::repository;

/// An agent at the other end.
struct Agent {
    running: Running,
    stdin: ChildStdin,
    next: u64,
}

impl Agent {
    fn of(sandbox: &Sandbox, words: &[&str]) -> Self {
        let invocation = sandbox.banger(&[&["mcp"], words].concat());
        let (running, stdin) = invocation.deadline(Duration::from_secs(180)).start_open();
        let mut agent = Self {
            running,
            stdin,
            next: 1,
        };
        let client = json!({"name": "scenario", "version": "1"});
        let hello =
            json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client});
        let answer = agent.ask("initialize", hello);
        assert_eq!(answer["serverInfo"]["name"], "banger");
        agent.line(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        agent
    }

    fn line(&mut self, message: &Value) {
        self.stdin
            .write_all(format!("{message}\n").as_bytes())
            .unwrap();
    }

    fn send(&mut self, method: &str, params: Value) -> u64 {
        let id = self.next;
        self.next += 1;
        self.line(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    fn answer(&self, id: u64) -> Value {
        let begin = Instant::now();
        loop {
            let said = self.running.stdout_so_far();
            let lines = said
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let mut found = lines.filter(|line| line["id"] == id);
            if let Some(found) = found.next() {
                assert_eq!(found["error"], Value::Null, "{found}");
                return found["result"].clone();
            }
            assert!(
                begin.elapsed() < Duration::from_secs(90),
                "no answer to {id}"
            );
            self.running.wait_for_stdout("\n");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        self.answer(id)
    }

    fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.ask("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// The answer of a tool that does what it is to do.
    fn does(&mut self, tool: &str, arguments: Value) -> Value {
        let answer = self.call(tool, arguments);
        assert_ne!(answer["isError"], true, "{tool}: {answer}");
        answer["structuredContent"].clone()
    }

    /// The refusal of a tool, in words.
    fn is_refused(&mut self, tool: &str, arguments: Value, words: &str) {
        let answer = self.call(tool, arguments);
        assert_eq!(answer["isError"], true, "{tool}: {answer}");
        let text = answer["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(words), "{tool}: {text}");
    }
}

#[test]
fn an_agent_has_machines_of_its_own_within_what_its_user_fixed() {
    let sandbox = Sandbox::new();
    let own = ["vm", "create", "--no-start", "--name", "mine"];
    minimal(&sandbox, &own, &[]).ok();
    let shared = sandbox.home().join("shared");
    let repo = sandbox.home().join("project");
    std::fs::create_dir_all(&shared).unwrap();
    std::fs::write(sandbox.home().join("secret"), "s").unwrap();
    repository(&repo).unwrap();
    let (folder, workspace) = (shared.display().to_string(), repo.display().to_string());
    let mut agent = Agent::of(
        &sandbox,
        &[
            "--name",
            "tests",
            "--vms",
            "1",
            "--image",
            MINIMAL,
            "--memory",
            "512M",
            "--vcpu",
            "1",
            "--disk-size",
            "1G",
            "--folder",
            &folder,
            "--workspace",
            &workspace,
            "--apply",
            "--rm",
        ],
    );

    step("every tool says what it takes", || {
        let tools = agent.ask("tools/list", json!({}));
        let tools = tools["tools"].as_array().unwrap();
        assert_eq!(tools.len(), 18, "{tools:#?}");
        for tool in tools {
            assert_ne!(tool["description"], Value::Null);
            assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        }
    });

    step(
        "a wish beyond the rules, and the user's own VM, are refused",
        || {
            agent.is_refused("vm_create", json!({"cpus": 2}), "more than the 1 allowed");
            agent.is_refused("vm_create", json!({"memory": "1G"}), "more than the 512");
            agent.is_refused("vm_create", json!({"image": "debian"}), "allowed: ");
            agent.is_refused("vm_create", json!({"name": "Not A Name"}), "name");
            for tool in ["vm_delete", "vm_start", "vm_ports", "workspace_diff"] {
                agent.is_refused(tool, json!({"vm": "mine"}), "no VM of yours");
            }
            agent.is_refused(
                "vm_exec",
                json!({"vm": "mine", "command": "true"}),
                "no VM of yours",
            );
            assert_eq!(agent.does("vm_list", json!({}))["vms"], json!([]));
        },
    );

    step("it gets a machine, and only one", || {
        let network = json!({"egress": "list", "allow": ["9.9.9.9:443"]});
        let made = agent.does("vm_create", json!({"name": "agent", "network": network}));
        assert_eq!(
            (&made["name"], &made["state"]),
            (&json!("agent"), &json!("running"))
        );
        agent.is_refused("vm_create", json!({}), "1 VMs are allowed");
        assert_eq!(agent.does("vm_list", json!({}))["vms"][0]["name"], "agent");
        let check = |target| {
            sandbox
                .banger(&["vm", "net", "check", "agent", target])
                .run()
        };
        let allowed = check("9.9.9.9:443").ok().out();
        assert!(allowed.contains("allowed"), "{allowed}");
        let refused = check("9.9.9.9:80").exits(1).out();
        assert!(refused.contains("refused"), "{refused}");
        let listed = sandbox
            .banger(&["ps", "--label", "banger.mcp=tests", "-q"])
            .ok();
        assert_eq!(listed.out(), "agent");
    });

    step("commands", || commands(&mut agent));
    step("files", || files(&mut agent, &shared));
    step("a way back, and no copy more than is allowed", || {
        ways_back(&mut agent);
    });
    step(
        "the repository goes in, and comes back as its user allows",
        || {
            workspaces(&mut agent, &repo);
        },
    );

    step(
        "a flood of calls is refused beyond a bound, and the rest is answered",
        || {
            let calls: Vec<u64> = (0..24)
                .map(|_| {
                    let exec = json!({"vm": "agent", "command": "sleep 2"});
                    agent.send("tools/call", json!({"name": "vm_exec", "arguments": exec}))
                })
                .collect();
            let answers: Vec<Value> = calls.into_iter().map(|id| agent.answer(id)).collect();
            let refused = answers.iter().filter(|answer| answer["isError"] == true);
            assert_eq!(refused.count(), 8, "{answers:#?}");
            // A line that is no message, and one that is too long, are no end.
            agent.stdin.write_all(b"what?\n").unwrap();
            agent.stdin.write_all(&vec![b'x'; 13 << 20]).unwrap();
            agent.stdin.write_all(b"\n").unwrap();
            agent.does("vm_list", json!({}));
        },
    );

    step("its machines go with it, and no other", || {
        drop(agent.stdin);
        agent.running.wait().ok();
        assert_eq!(sandbox.banger(&["ps", "-q"]).ok().out(), "mine");
    });
}

fn commands(agent: &mut Agent) {
    let ran = agent.does(
        "vm_exec",
        json!({"vm": "agent", "command": "echo out; echo err >&2; exit 3"}),
    );
    assert_eq!(ran["exit_code"], 3);
    assert_eq!(
        (&ran["stdout"], &ran["stderr"]),
        (&json!("out\n"), &json!("err\n"))
    );
    let ran = agent.does(
        "vm_exec",
        json!({"vm": "agent", "argv": ["cat"], "stdin": "x".repeat(100_000), "cwd": "/srv", "env": {"A": "b"}}),
    );
    assert_eq!(ran["truncated"], true);
    let stdout = ran["stdout"].as_str().unwrap();
    assert!(
        stdout.contains("80000 bytes left out") && stdout.len() < 21_000,
        "{}",
        stdout.len()
    );
    let ran = agent.does(
        "vm_exec",
        json!({"vm": "agent", "command": "sleep 60", "timeout_s": 1}),
    );
    assert_eq!(ran["timed_out"], true, "{ran}");
    agent.is_refused("vm_exec", json!({"vm": "agent"}), "give \"command\"");
    agent.is_refused(
        "vm_exec",
        json!({"vm": "agent", "argv": ["/no/such"]}),
        "/no/such",
    );
}

fn files(agent: &mut Agent, shared: &std::path::Path) {
    let mode = agent.does(
        "vm_exec",
        json!({"vm": "agent", "command": "stat -c %a /root"}),
    );
    agent.does(
        "vm_write_file",
        json!({"vm": "agent", "path": "new/deep/a.txt", "text": "hé\n"}),
    );
    let read = agent.does(
        "vm_read_file",
        json!({"vm": "agent", "path": "/root/new/deep/a.txt"}),
    );
    assert_eq!(
        (&read["text"], &read["mode"]),
        (&json!("hé\n"), &json!("644"))
    );
    agent.does(
        "vm_write_file",
        json!({"vm": "agent", "path": "/usr/local/bin/t", "base64": "/wA=", "executable": true}),
    );
    let read = agent.does(
        "vm_read_file",
        json!({"vm": "agent", "path": "/usr/local/bin/t"}),
    );
    assert_eq!(
        (&read["base64"], &read["mode"]),
        (&json!("/wA="), &json!("755"))
    );
    let after = agent.does(
        "vm_exec",
        json!({"vm": "agent", "command": "stat -c %a /root"}),
    );
    assert_eq!(
        mode["stdout"], after["stdout"],
        "a folder that is there stays as it is"
    );
    agent.is_refused(
        "vm_write_file",
        json!({"vm": "agent", "path": "new", "text": ""}),
        "director",
    );
    agent.is_refused(
        "vm_read_file",
        json!({"vm": "agent", "path": "new"}),
        "no file",
    );
    agent.is_refused(
        "vm_read_file",
        json!({"vm": "agent", "path": "none"}),
        "none",
    );
    agent.does(
        "vm_exec",
        json!({"vm": "agent", "command": "head -c 2000000 /dev/zero > big"}),
    );
    agent.is_refused(
        "vm_read_file",
        json!({"vm": "agent", "path": "big"}),
        "more than",
    );

    std::fs::write(shared.join("data"), "from here").unwrap();
    agent.does(
        "vm_copy_in",
        json!({"vm": "agent", "host_path": "data", "vm_path": "/srv/data"}),
    );
    let read = agent.does("vm_read_file", json!({"vm": "agent", "path": "/srv/data"}));
    assert_eq!(read["text"], "from here");
    agent.does(
        "vm_copy_out",
        json!({"vm": "agent", "host_path": "back", "vm_path": "/root/new"}),
    );
    assert_eq!(
        std::fs::read_to_string(shared.join("back/deep/a.txt")).unwrap(),
        "hé\n"
    );
    for outside in ["../secret", "/etc/passwd", ".."] {
        let copy = json!({"vm": "agent", "host_path": outside, "vm_path": "/root/x"});
        agent.is_refused("vm_copy_in", copy.clone(), "is outside of");
        agent.is_refused("vm_copy_out", copy, "is outside of");
    }
}

fn ways_back(agent: &mut Agent) {
    let exec = |command: &str| json!({"vm": "agent", "command": command});
    agent.does("vm_exec", exec("echo before > /root/state && sync"));
    let kept = agent.does("vm_checkpoint", json!({"vm": "agent", "name": "good"}));
    assert_eq!(kept["checkpoints"][0]["name"], "good", "{kept}");
    agent.does("vm_exec", exec("echo after > /root/state"));
    let back = json!({"vm": "agent", "checkpoint": "good", "discard_current": true});
    agent.does("vm_restore", back);
    if agent.does("vm_list", json!({}))["vms"][0]["state"] != "running" {
        agent.does("vm_start", json!({"vm": "agent"}));
    }
    let read = agent.does("vm_read_file", json!({"vm": "agent", "path": "state"}));
    assert_eq!(read["text"], "before\n");
    let kept = agent.does("vm_checkpoints", json!({"vm": "agent"}));
    assert_eq!(kept["checkpoints"].as_array().unwrap().len(), 1, "{kept}");
    agent.is_refused("vm_fork", json!({"vm": "agent"}), "1 VMs are allowed");
    agent.is_refused(
        "vm_fork",
        json!({"vm": "agent", "count": 4_000_000_000_u32}),
        "1 VMs are allowed",
    );
}

fn workspaces(agent: &mut Agent, repo: &std::path::Path) {
    let sent = agent.does("workspace_send", json!({"vm": "agent"}));
    assert_eq!(sent["path"], "/root/project");
    let exec = |command: &str| json!({"vm": "agent", "command": command, "cwd": "/root/project"});
    agent.does(
        "vm_exec",
        exec("echo more >> README && echo '#!/bin/sh' > tool && chmod +x tool"),
    );
    let diff = agent.does("workspace_diff", json!({"vm": "agent"}));
    assert!(diff["patch"].as_str().unwrap().contains("+more"), "{diff}");
    assert_eq!(diff["needs_approval"], json!(["tool (becomes a program)"]));
    let before = std::fs::read_to_string(repo.join("README")).unwrap();
    let refusal = "need your approval: tool";
    agent.is_refused("workspace_apply", json!({"vm": "agent"}), refusal);
    assert_eq!(
        std::fs::read_to_string(repo.join("README")).unwrap(),
        before
    );
    agent.does("vm_exec", exec("rm tool"));
    let applied = agent.does("workspace_apply", json!({"vm": "agent"}));
    assert_eq!(applied["files"], json!(["README"]));
    let after = std::fs::read_to_string(repo.join("README")).unwrap();
    assert_eq!(after, format!("{before}more\n"));
    assert!(!repo.join("tool").exists());
}
