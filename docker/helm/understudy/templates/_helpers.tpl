{{- define "understudy.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* At most 45 characters: the longest suffix, and what Kubernetes adds to the names of pods, must fit into 63. */}}
{{- define "understudy.fullname" -}}
{{- $name := include "understudy.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 45 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 45 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 45 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "understudy.selectorLabels" -}}
app.kubernetes.io/name: {{ include "understudy.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "understudy.labels" -}}
{{ include "understudy.selectorLabels" . }}
app.kubernetes.io/part-of: {{ include "understudy.name" .root }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "understudy.serviceAccountName" -}}
{{- default (ternary (include "understudy.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{- define "understudy.claimName" -}}
{{- default (printf "%s-data" (include "understudy.fullname" .)) .Values.data.existingClaim }}
{{- end }}

{{/* The Service's name within the cluster: Label Studio may live in another namespace. */}}
{{- define "understudy.publicUrl" -}}
{{- default (printf "http://%s-web.%s.svc:%v" (include "understudy.fullname" .) .Release.Namespace .Values.web.service.port) .Values.publicUrl }}
{{- end }}

{{/* Address of Redis without user and password; empty where the Secret has REDIS_URL. */}}
{{- define "understudy.redisUrl" -}}
{{- $given := has "REDIS_URL" .Values.secret.keys }}
{{- if and (has "REDIS_PASSWORD" .Values.secret.keys) (not $given) }}
{{- fail "secret.keys has REDIS_PASSWORD: understudy needs it within REDIS_URL, which must be a key of the same Secret" }}
{{- end }}
{{- if $given }}
{{- else if .Values.redis.enabled -}}
redis://{{ include "understudy.fullname" . }}-redis:6379/0
{{- else }}
{{- $external := .Values.externalRedis }}
{{- if not $external.addresses }}
{{- fail "redis.enabled is false: set externalRedis.addresses, or put REDIS_URL into the Secret and secret.keys" }}
{{- end }}
{{- if $external.username }}
{{- fail "externalRedis.username is for KEDA only: put REDIS_URL with user and password into the Secret and secret.keys" }}
{{- end }}
{{- $scheme := ternary "rediss" "redis" $external.tls.enabled }}
{{- if $external.sentinelService -}}
{{ $scheme }}+sentinel://{{ join "," $external.addresses }}/{{ $external.sentinelService }}/{{ $external.database }}
{{- else -}}
{{ $scheme }}://{{ first $external.addresses }}/{{ $external.database }}
{{- end }}
{{- end }}
{{- end }}

{{/* What no pod of this chart needs more of. */}}
{{- define "understudy.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "understudy.trainerImage" -}}
{{- $own := .Values.trainer.image }}
{{- printf "%s:%s" (default .Values.image.repository $own.repository) (default (default .Chart.AppVersion .Values.image.tag) $own.tag) }}
{{- end }}

{{/*
The environment of one process. HOST of those that do not serve is the Service, so that the commands run in their pods
find the web process.
*/}}
{{- define "understudy.env" -}}
{{- $root := .root }}
- {name: HOST, value: {{ ternary "0.0.0.0" (printf "%s-web" (include "understudy.fullname" $root)) (eq .component "web") | quote }}}
- {name: PORT, value: {{ ternary 9090 $root.Values.web.service.port (eq .component "web") | toString | quote }}}
{{- range $key := without $root.Values.secret.keys "REDIS_PASSWORD" "BASIC_AUTH_USER" }}
- {name: {{ $key }}_FILE, value: /run/secrets/understudy/{{ $key }}}
{{- end }}
{{- if has "BASIC_AUTH_USER" $root.Values.secret.keys }}
- name: BASIC_AUTH_USER
  valueFrom: {secretKeyRef: {name: {{ $root.Values.secret.name }}, key: BASIC_AUTH_USER}}
{{- end }}
{{- end }}

{{- define "understudy.envFrom" -}}
- configMapRef: {name: {{ include "understudy.fullname" . }}}
{{- if and .Values.artifacts.url .Values.artifacts.credentialsSecret }}
- secretRef: {name: {{ .Values.artifacts.credentialsSecret }}}
{{- end }}
{{- end }}

{{/* Where a process writes: /data and /tmp. What is a cache never lies on the shared volume. */}}
{{- define "understudy.volumeMounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .Values.artifacts.url }}
- {name: local, mountPath: /data}
{{- else }}
- {name: data, mountPath: /data}
{{- range $folder := list "features" "words" "deadlines" }}
- {name: local, mountPath: /data/{{ $folder }}, subPath: {{ $folder }}}
{{- end }}
{{- end }}
{{- if without .Values.secret.keys "REDIS_PASSWORD" "BASIC_AUTH_USER" }}
- {name: secrets, mountPath: /run/secrets/understudy, readOnly: true}
{{- end }}
{{- if include "understudy.caSecret" . }}
- {name: redis-ca, mountPath: /run/secrets/redis-ca, readOnly: true}
{{- end }}
{{- end }}

{{- define "understudy.volumes" -}}
- {name: tmp, emptyDir: {sizeLimit: 1Gi}}
- {name: local, emptyDir: {sizeLimit: {{ .Values.data.localSize }}}}
{{- if not .Values.artifacts.url }}
- {name: data, persistentVolumeClaim: {claimName: {{ include "understudy.claimName" . }}}}
{{- end }}
{{- with without .Values.secret.keys "REDIS_PASSWORD" "BASIC_AUTH_USER" }}
- name: secrets
  secret:
    secretName: {{ $.Values.secret.name }}
    defaultMode: 0440
    items:
      {{- range $key := . }}
      - {key: {{ $key }}, path: {{ $key }}}
      {{- end }}
{{- end }}
{{- with include "understudy.caSecret" . }}
- {name: redis-ca, secret: {secretName: {{ . }}, defaultMode: 0440}}
{{- end }}
{{- end }}

{{- define "understudy.caSecret" -}}
{{- if not .Values.redis.enabled }}{{ .Values.externalRedis.tls.caSecret }}{{ end }}
{{- end }}

{{/*
The pod of one process. Takes root, component, args, grace (seconds), policy of restarts, and what else goes into the
container, as text.
*/}}
{{- define "understudy.pod" -}}
{{- $own := index .root.Values (default .component .settingsOf) }}
{{- $isTrainer := eq .component "trainer" }}
metadata:
  labels:
    {{- include "understudy.labels" . | nindent 4 }}
    {{- with .root.Values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    checksum/config: {{ include (print .root.Template.BasePath "/config.yaml") .root | sha256sum }}
    {{- with .root.Values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "understudy.serviceAccountName" .root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  # What is left behind by a child that was killed is collected, as with an init.
  shareProcessNamespace: true
  terminationGracePeriodSeconds: {{ .grace }}
  {{- with .restartPolicy }}
  restartPolicy: {{ . }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- with .root.Values.image.pullSecrets }}
  imagePullSecrets: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $own.nodeSelector }}
  nodeSelector: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- $gpu := and $isTrainer .root.Values.trainer.gpu.enabled }}
  {{- if or $own.tolerations $gpu }}
  tolerations:
    {{- with $own.tolerations }}{{ toYaml . | nindent 4 }}{{ end }}
    {{- if $gpu }}
    - {key: {{ .root.Values.trainer.gpu.resource }}, operator: Exists, effect: NoSchedule}
    {{- end }}
  {{- end }}
  {{- with $own.affinity }}
  affinity: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- if eq .component "web" }}
  topologySpreadConstraints:
    {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ $key }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{ include "understudy.selectorLabels" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ ternary (include "understudy.trainerImage" .root) (printf "%s:%s" .root.Values.image.repository (default .root.Chart.AppVersion .root.Values.image.tag)) $isTrainer | quote }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      {{- with .command }}
      command: {{ toJson . }}
      {{- end }}
      args: {{ toJson .args }}
      env: {{ include "understudy.env" . | nindent 8 }}
      envFrom: {{ include "understudy.envFrom" .root | nindent 8 }}
      {{- with .more }}{{ . | nindent 6 }}{{ end }}
      resources:
        requests: {{ toYaml $own.resources.requests | nindent 10 }}
        limits: {{ toYaml $own.resources.limits | nindent 10 }}
          {{- if $gpu }}
          {{ .root.Values.trainer.gpu.resource }}: {{ .root.Values.trainer.gpu.count }}
          {{- end }}
      securityContext: {{ include "understudy.containerSecurity" . | nindent 8 }}
      volumeMounts: {{ include "understudy.volumeMounts" .root | nindent 8 }}
  volumes: {{ include "understudy.volumes" .root | nindent 4 }}
{{- end }}

{{/* A worker by its heartbeat in Redis, as in docker/compose.yml. What hangs in a job ends itself at its time limit. */}}
{{- define "understudy.workerProbes" -}}
startupProbe:
  exec: {command: [understudy, healthcheck, {{ .component }}]}
  periodSeconds: 10
  timeoutSeconds: 15
  failureThreshold: 30
livenessProbe:
  exec: {command: [understudy, healthcheck, {{ .component }}]}
  periodSeconds: 60
  timeoutSeconds: 15
  failureThreshold: 3
{{- end }}
