use super::*;

/// A host whose control groups are plain files, and the engine's directory.
struct Host {
    directory: tempfile::TempDir,
    unified: bool,
}

impl Host {
    fn new(unified: bool) -> Self {
        let host = Self { directory: tempfile::tempdir().unwrap(), unified };
        fs::create_dir_all(host.engine().join("buildkit/executor")).unwrap();
        host
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("cgroup")
    }

    fn engine(&self) -> PathBuf {
        self.directory.path().join("docker")
    }

    fn limiter(&self, marker: &str, limits: Limits) -> Limiter {
        let info = Info {
            docker_root_dir: self.engine().display().to_string(),
            cgroup_version: if self.unified { "2" } else { "1" }.to_owned(),
        };
        Limiter::new(&self.root(), &info, marker, limits)
    }

    fn step(&self, name: &str, marker: &str) {
        self.step_in(name, marker, &format!("/docker/buildkit/{name}"));
    }

    fn step_in(&self, name: &str, marker: &str, group: &str) {
        let directory = self.engine().join("buildkit/executor").join(name);
        fs::create_dir_all(&directory).unwrap();
        let description = serde_json::json!({
            "process": { "env": ["PATH=/bin", format!("NO_PROXY=localhost,{marker}")] },
            "linux": { "cgroupsPath": group },
        });
        fs::write(directory.join("config.json"), description.to_string()).unwrap();
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root().join(path)).ok()
    }
}

const LIMITS: Limits = Limits { cpu_millis: 500, memory_mb: 64 };

#[test]
fn a_step_gets_its_limits_before_it_runs() {
    let host = Host::new(false);
    let limiter = host.limiter("zw-build-1", LIMITS);
    host.step("a", "zw-build-1");
    assert_eq!(limiter.look(), None);
    let bytes = (64 * MEBIBYTE).to_string();
    assert_eq!(host.read("memory/docker/buildkit/a/memory.limit_in_bytes"), Some(bytes.clone()));
    assert_eq!(host.read("memory/docker/buildkit/a/memory.memsw.limit_in_bytes"), Some(bytes));
    assert_eq!(host.read("cpu/docker/buildkit/a/cpu.cfs_quota_us"), Some("50000".to_owned()));
    assert!(host.read("pids/docker/buildkit/a/pids.max").is_some());
}

#[test]
fn a_step_gets_its_limits_on_a_unified_host_too() {
    let host = Host::new(true);
    let limiter = host.limiter("zw-build-1", LIMITS);
    host.step("a", "zw-build-1");
    assert_eq!(limiter.look(), None);
    assert_eq!(host.read("docker/buildkit/a/memory.max"), Some((64 * MEBIBYTE).to_string()));
    assert_eq!(host.read("docker/buildkit/a/memory.swap.max"), Some("0".to_owned()));
    assert_eq!(host.read("docker/buildkit/a/cpu.max"), Some("50000 100000".to_owned()));
}

#[test]
fn a_step_that_systemd_keeps_gets_its_limits_where_it_is() {
    let host = Host::new(true);
    let limiter = host.limiter("zw-build-1", LIMITS);
    host.step_in("a", "zw-build-1", "system.slice:docker:a");
    assert_eq!(limiter.look(), None);
    assert!(host.read("system.slice:docker:a/memory.max").is_some());
    fs::create_dir_all(host.root().join("system.slice/docker-a.scope")).unwrap();
    assert_eq!(limiter.look(), None);
    let bytes = (64 * MEBIBYTE).to_string();
    assert_eq!(host.read("system.slice/docker-a.scope/memory.max"), Some(bytes));
}

#[test]
fn steps_of_others_are_left_alone() {
    let host = Host::new(false);
    let limiter = host.limiter("zw-build-1", LIMITS);
    host.step("b", "zw-build-2");
    fs::write(host.engine().join("buildkit/executor/resolv.conf"), "").unwrap();
    fs::create_dir(host.engine().join("buildkit/executor/half")).unwrap();
    assert_eq!(limiter.look(), None);
    assert!(!host.root().exists());
    // One that was not described to its end is looked at again.
    host.step("half", "zw-build-1");
    assert_eq!(limiter.look(), None);
    assert!(host.read("memory/docker/buildkit/half/memory.limit_in_bytes").is_some());
}

#[test]
fn steps_at_once_share_the_cpu_and_end_together_over_the_memory() {
    let host = Host::new(false);
    let limiter = host.limiter("zw-build-1", LIMITS);
    for name in ["a", "b"] {
        host.step(name, "zw-build-1");
    }
    assert_eq!(limiter.look(), None);
    assert_eq!(host.read("cpu/docker/buildkit/a/cpu.cfs_quota_us"), Some("25000".to_owned()));
    for name in ["a", "b"] {
        let file = host.root().join(format!("memory/docker/buildkit/{name}/memory.stat"));
        fs::write(file, format!("cache 1\nrss {}\nshmem 0\n", 40 * MEBIBYTE)).unwrap();
    }
    assert_eq!(limiter.look(), Some(Breach::Memory));
    assert!(limiter.is_out_of_memory());
    // When one has ended, the other has the whole again.
    fs::remove_dir_all(host.engine().join("buildkit/executor/b")).unwrap();
    assert_eq!(limiter.look(), None);
    assert_eq!(host.read("cpu/docker/buildkit/a/cpu.cfs_quota_us"), Some("50000".to_owned()));
}

#[test]
fn a_kill_of_the_kernel_is_seen() {
    for (unified, file) in [
        (false, "memory/docker/buildkit/a/memory.oom_control"),
        (true, "docker/buildkit/a/memory.events"),
    ] {
        let host = Host::new(unified);
        let limiter = host.limiter("zw-build-1", LIMITS);
        host.step("a", "zw-build-1");
        limiter.look();
        assert!(!limiter.is_out_of_memory());
        fs::write(host.root().join(file), "oom_kill_disable 0\noom_kill 1\n").unwrap();
        limiter.look();
        assert!(limiter.is_out_of_memory());
    }
}

#[test]
fn a_host_without_control_groups_is_said_to_be_one() {
    let host = Host::new(false);
    assert!(host.limiter("x", LIMITS).check().is_err());
}

#[test]
fn groups_that_cannot_be_limited_are_told_before_and_end_a_build_that_runs() {
    for unified in [false, true] {
        let host = Host::new(unified);
        let limiter = host.limiter("zw-build-1", LIMITS);
        let memory = if unified { host.root() } else { host.root().join("memory") };
        fs::create_dir_all(&memory).unwrap();
        fs::write(memory.join("cgroup.procs"), "").unwrap();
        limiter.check().unwrap();

        // Where a group has to be made there is something else.
        let blocked = if unified { host.root().join("docker") } else { host.root().join("cpu") };
        let _ = fs::remove_dir_all(&blocked);
        fs::write(&blocked, "").unwrap();
        if !unified {
            let error = limiter.check().unwrap_err().to_string();
            assert!(error.contains("zeitwork-probe-"), "{error}");
        }
        host.step("a", "zw-build-1");
        for _ in 1..UNWRITTEN_LOOKS {
            assert_eq!(limiter.look(), None, "a step that ends takes its group along");
        }
        assert_eq!(limiter.look(), Some(Breach::Unwritten));
        // One that is gone is no reason.
        fs::remove_dir_all(host.engine().join("buildkit/executor/a")).unwrap();
        assert_eq!(limiter.look(), None);
    }
}
