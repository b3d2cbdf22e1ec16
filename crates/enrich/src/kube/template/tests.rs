// SPDX-License-Identifier: Apache-2.0

use vor_model::Labels;

use super::*;
use crate::kube::object::Meta;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::new(pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect())
}

fn pod() -> Pod {
    Pod {
        meta: Meta {
            uid: "u-1".into(),
            name: "cart-0".into(),
            namespace: "shop".into(),
            owner: None,
            labels: labels(&[("app.kubernetes.io/name", "cart"), ("tier", "back"), ("a\"b", "q")]),
            annotations: labels(&[("team", "blue")]),
        },
        node: "node-1".into(),
        ips: Box::default(),
        host_ip: "10.0.0.1".parse().ok(),
        host_network: false,
        ended: false,
        started: "2026-11-25T01:02:03Z".into(),
        containers: Box::default(),
    }
}

fn name(template: &str) -> Result<String, String> {
    let container = Container { name: "main".into(), id: "c1".into(), image: "".into() };
    let template = Template::try_from(template.to_owned()).map_err(|error| error.to_string())?;
    Ok(template.name(&pod(), Some(&container)))
}

#[test]
fn fields_labels_and_conditions_make_a_name() {
    for (template, expected) in [
        ("fixed", "fixed"),
        ("", ""),
        ("{{ .Meta.Namespace }}/{{.Meta.Name}}", "shop/cart-0"),
        (
            r#"{{.Meta.Namespace}}/{{index .Meta.Labels "app.kubernetes.io/name"}}{{if .ContainerName}}/{{.ContainerName}}{{end}}"#,
            "shop/cart/main",
        ),
        (r#"{{- if eq .Meta.Pod.NodeName "node-1" "node-2" -}} a {{- else -}} b {{- end -}}"#, "a"),
        (
            r#"{{ if eq .Meta.Pod.NodeName "node-2" }}a{{ else if .Meta.Labels.tier }}{{ .Meta.Labels.tier }}{{ else }}c{{ end }}"#,
            "back",
        ),
        (r#"{{ or (index .Meta.Labels "missing") .Meta.Annotations.team }}"#, "blue"),
        (r#"{{ and .Meta.Name (index .Meta.Labels "missing") }}"#, ""),
        (r#"{{ if and (not .Meta.Labels.missing) (ne .Meta.Kind "Node") }}x{{ end }}"#, "x"),
        ("{{ index .Meta.Labels `a\"b` }}{{ index .Meta.Labels \"a\\\"b\" }}", "qq"),
        ("{{ \"a}}b\" }}", "a}}b"),
        ("  {{/* nothing */}}\n {{ .Meta.Pod.Uid }} \n second line", "u-1"),
        ("{{ .Meta.Pod.HostIp }} {{ .Meta.Pod.StartTimeStr }}", "10.0.0.1 2026-11-25T01:02:03Z"),
        ("a } b { c", "a } b { c"),
    ] {
        assert_eq!(name(template).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn what_is_not_understood_is_refused_and_named() {
    for (template, said) in [
        ("{{ .Meta.Name", "{{ has no }}"),
        ("{{ .Meta.Nome }}", ".Meta.Nome is no field"),
        ("{{ .Meta.Labels }}", ".Meta.Labels is no field"),
        ("{{ .Meta.Labels.a.b }}", "is no field"),
        ("{{ printf \"%s\" .Meta.Name }}", "printf is no function"),
        ("{{ .Meta.Name | lower }}", "takes nothing behind it"),
        ("{{ if .Meta.Name }}a", "if has no end"),
        ("{{ if .Meta.Name }}a{{ else }}b", "else has no end"),
        ("{{ if .Meta.Name }}a{{ else }}b{{ else }}c{{ end }}", "after an else"),
        ("{{ end }}", "there is no if"),
        ("{{ index .Meta.Labels }}", "index takes one key"),
        ("{{ index .Meta.Name \"a\" }}", "index looks into"),
        ("{{ eq .Meta.Name }}", "too little"),
        ("{{ (.Meta.Name }}", "a ( has no )"),
        ("{{ .Meta.Name) }}", "no ( for a )"),
        ("{{ }}", "nothing"),
        ("{{ \"a }}", "{{ has no }}"),
        ("{{ \"\\n\" }}", "\\ stands before"),
        ("x{{ not }}", "(at character 2)"),
    ] {
        let error = name(template).expect_err(template);
        assert!(error.contains(said), "{template}: {error}");
    }
    let deep = format!(
        "{}.Meta.Name{}",
        "{{ ".to_owned() + &"(".repeat(100_000),
        ")".repeat(100_000) + " }}"
    );
    assert!(name(&deep).unwrap_err().contains("too deeply"));
    let deep = "{{ if .Meta.Name }}".repeat(10_000);
    assert!(name(&deep).unwrap_err().contains("too deeply"));
}

#[test]
fn any_cut_of_a_template_is_a_template_or_an_error() {
    let whole =
        r#"{{- if (eq .Meta.Name "é}}") -}} {{ index .Meta.Labels `x` }} {{ else }} y {{- end }}"#;
    for (at, _) in whole.char_indices() {
        let _ = name(&whole[..at]);
        let _ = name(&whole[at..]);
    }
}
