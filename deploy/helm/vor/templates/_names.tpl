{{/* SPDX-License-Identifier: Apache-2.0 */}}
{{/* Names and labels that several templates share. */}}

{{- define "vor.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 53 | trimSuffix "-" }}
{{- end }}

{{- define "vor.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" }}
{{- else if contains (include "vor.name" .) .Release.Name }}
{{- .Release.Name | trunc 53 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "vor.name" .) | trunc 53 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "vor.cache" -}}
{{ include "vor.fullname" . }}-cache
{{- end }}

{{- define "vor.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* What selects the pods of one of the two parts: (dict "root" . "part" "agent"). */}}
{{- define "vor.selector" -}}
app.kubernetes.io/name: {{ include "vor.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "vor.labels" -}}
{{ include "vor.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Who watches the API server: the cache if there is one, else every agent. */}}
{{- define "vor.watcher" -}}
{{ if .Values.cache.enabled }}{{ include "vor.cache" . }}{{ else }}{{ include "vor.fullname" . }}{{ end }}
{{- end }}

{{- define "vor.watched" -}}
{{ if or .Values.cache.enabled .Values.kubernetes.enabled }}yes{{ end }}
{{- end }}
