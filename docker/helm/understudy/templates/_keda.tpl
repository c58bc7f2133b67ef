{{- /* What KEDA asks for a queue: .root, .component, .queue, .keda (its values). */}}
{{- define "understudy.kedaTriggers" -}}
{{- $external := .root.Values.externalRedis }}
{{- $isSentinel := and (not .root.Values.redis.enabled) $external.sentinelService }}
{{- if eq .keda.trigger "prometheus" }}
- type: prometheus
  metadata:
    serverAddress: {{ .keda.prometheusUrl | required (printf "%s.keda.prometheusUrl is needed for the trigger prometheus" .component) | quote }}
    query: max(understudy_jobs_waiting{queue="{{ .queue }}"} + understudy_jobs_running{queue="{{ .queue }}"})
    threshold: "1"
{{- else }}
- type: {{ ternary "redis-sentinel" "redis" (not (empty $isSentinel)) }}
  metadata:
    listName: rq:queue:{{ .queue }}
    listLength: "1"
    {{- if .root.Values.redis.enabled }}
    address: {{ printf "%s-redis.%s.svc:6379" (include "understudy.fullname" .root) .root.Release.Namespace | quote }}
    {{- else }}
    {{- if not $external.addresses }}
    {{- fail (printf "%s.keda.trigger redis: set externalRedis.addresses, which KEDA asks" .component) }}
    {{- end }}
    {{- if $isSentinel }}
    addresses: {{ join "," $external.addresses | quote }}
    sentinelMaster: {{ $external.sentinelService | quote }}
    {{- else }}
    address: {{ first $external.addresses | quote }}
    {{- end }}
    databaseIndex: {{ $external.database | toString | quote }}
    {{- with $external.username }}
    username: {{ . | quote }}
    {{- end }}
    {{- if $external.tls.enabled }}
    enableTLS: "true"
    {{- end }}
    {{- end }}
  {{- if include "understudy.kedaLogin" . }}
  authenticationRef: {name: {{ include "understudy.fullname" .root }}-{{ .component }}}
  {{- end }}
{{- end }}
{{- end }}

{{- /* What KEDA logs in to Redis with; nothing where it needs nothing. As above. */}}
{{- define "understudy.kedaLogin" -}}
{{- $external := .root.Values.externalRedis }}
{{- if eq .keda.trigger "redis" }}
{{- if has "REDIS_PASSWORD" .root.Values.secret.keys }}
- {parameter: password, name: {{ .root.Values.secret.name }}, key: REDIS_PASSWORD}
{{- end }}
{{- if and (not .root.Values.redis.enabled) $external.tls.enabled $external.tls.caSecret }}
- {parameter: ca, name: {{ $external.tls.caSecret }}, key: ca.crt}
{{- end }}
{{- end }}
{{- end }}

{{- define "understudy.kedaAuthentication" -}}
{{- with include "understudy.kedaLogin" . }}
---
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata:
  name: {{ include "understudy.fullname" $.root }}-{{ $.component }}
  labels: {{ include "understudy.labels" (dict "root" $.root "component" $.component) | nindent 4 }}
spec:
  secretTargetRef: {{ . | nindent 4 }}
{{- end }}
{{- end }}
