{{/* The chart's name, or nameOverride. */}}
{{- define "gpuspawner.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/*
What every object's name begins with, as `helm create` makes it. 40 characters, so that the longest suffix still makes
a DNS label. It is also c.GPUSpawner.hub_name.
*/}}
{{- define "gpuspawner.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{/* A name of the configuration as part of an object's name; one that must be changed or cut gets a hash. */}}
{{- define "gpuspawner.dnsName" -}}
{{- $safe := regexReplaceAll "[^a-z0-9-]" . "-" | trunc 20 }}
{{- if ne $safe . }}
{{- $safe = printf "%s-%s" (trimSuffix "-" $safe) (sha256sum . | trunc 6) }}
{{- end }}
{{- $safe }}
{{- end }}

{{/* Labels of every object: (dict "context" $ "component" "hub"). */}}
{{- define "gpuspawner.labels" -}}
{{- $own := include "gpuspawner.selectorLabels" . | fromYaml }}
{{- $_ := set $own "app.kubernetes.io/version" (.context.Chart.AppVersion | toString) }}
{{- $_ := set $own "app.kubernetes.io/part-of" "gpuspawner" }}
{{- $_ := set $own "app.kubernetes.io/managed-by" .context.Release.Service }}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .context.Chart.Name .context.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") }}
{{- merge $own .context.Values.commonLabels | toYaml }}
{{- end }}

{{/*
Labels that selectors ask for: (dict "context" $ "component" "hub"). Selectors of Deployments cannot be changed, so
these never change either.
*/}}
{{- define "gpuspawner.selectorLabels" -}}
app.kubernetes.io/name: {{ include "gpuspawner.name" .context | quote }}
app.kubernetes.io/instance: {{ .context.Release.Name | quote }}
app.kubernetes.io/component: {{ .component | quote }}
{{- end }}

{{/*
Labels of a workload's pods: (dict "context" $ "component" "hub"). Without the chart's version, so that an upgrade
restarts only what it changes.
*/}}
{{- define "gpuspawner.podLabels" -}}
{{- omit (include "gpuspawner.labels" . | fromYaml) "helm.sh/chart" "app.kubernetes.io/version" | toYaml }}
{{- end }}

{{/* An image's reference: (dict "context" $ "image" .Values.hub.image). Without tag it is the chart's appVersion. */}}
{{- define "gpuspawner.image" -}}
{{- $tag := .image.tag | default .context.Chart.AppVersion | toString }}
{{- if .image.digest }}
{{- printf "%s:%s@%s" .image.name $tag .image.digest }}
{{- else }}
{{- printf "%s:%s" .image.name $tag }}
{{- end }}
{{- end }}

{{/* Names of the Secrets that images are pulled with, as a JSON list. */}}
{{- define "gpuspawner.imagePullSecretNames" -}}
{{- $names := list }}
{{- if .Values.imagePullSecret.create }}
{{- $names = append $names (printf "%s-registry" (include "gpuspawner.fullname" .)) }}
{{- end }}
{{- range .Values.imagePullSecrets }}
{{- $names = append $names .name }}
{{- end }}
{{- toJson $names }}
{{- end }}

{{/* imagePullSecrets of a pod that is made before the release's own Secrets. */}}
{{- define "gpuspawner.hook.imagePullSecrets" -}}
{{- include "gpuspawner.imagePullSecrets" . | replace (printf "%s-registry" (include "gpuspawner.fullname" .) | quote) (printf "%s-hook-registry" (include "gpuspawner.fullname" .) | quote) }}
{{- end }}

{{/* imagePullSecrets of a pod of the chart. */}}
{{- define "gpuspawner.imagePullSecrets" -}}
{{- with include "gpuspawner.imagePullSecretNames" . | fromJsonArray }}
imagePullSecrets:
{{- range . }}
  - name: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Pod Security "restricted". */}}
{{- define "gpuspawner.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Namespace of the servers. */}}
{{- define "gpuspawner.userNamespace" -}}
{{- .Values.singleuser.namespace | default .Release.Namespace }}
{{- end }}

{{/* Service account of the hub. */}}
{{- define "gpuspawner.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (printf "%s-hub" (include "gpuspawner.fullname" .)) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{/* Name of the Secret with the cookie secret, the proxy's token, the first administrator's password. */}}
{{- define "gpuspawner.secretName" -}}
{{- .Values.hub.existingSecret | default (printf "%s-secrets" (include "gpuspawner.fullname" .)) }}
{{- end }}

{{/* Where the proxy and the servers reach the hub. */}}
{{- define "gpuspawner.hubUrl" -}}
http://{{ include "gpuspawner.fullname" . }}-hub.{{ .Release.Namespace }}.svc:8081
{{- end }}

{{/* hub.baseUrl with a slash at both ends. */}}
{{- define "gpuspawner.baseUrl" -}}
{{- printf "/%s/" (trimAll "/" .Values.hub.baseUrl) | replace "//" "/" }}
{{- end }}

{{/*
Where a pod runs and how: (dict "context" $ "values" .Values.hub). With "hook" true it is made before the release's own
PriorityClasses. Without an affinity of its own, a pod of the chart
keeps away from GPU nodes where it can, so that an autoscaler can take them away.
*/}}
{{- define "gpuspawner.scheduling" -}}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
affinity:
{{- if .values.affinity }}
  {{- toYaml .values.affinity | nindent 2 }}
{{- else }}
  nodeAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        preference:
          matchExpressions:
            - {key: nvidia.com/gpu.present, operator: DoesNotExist}
            - {key: amd.com/gpu.product-name, operator: DoesNotExist}
            - {key: cloud.google.com/gke-accelerator, operator: DoesNotExist}
{{- end }}
{{- with .values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName | default (eq true (.hook | default false) | ternary .context.Values.priorityClasses.existing.core (include "gpuspawner.priorityClass" (dict "context" .context "part" "core"))) }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end }}

{{/*
Environment variables, a map of name to text or to the rest of an EnvVar: (dict "env" .Values.hub.extraEnv). In order
of names.
*/}}
{{- define "gpuspawner.env" -}}
{{- range $name, $value := .env }}
- name: {{ $name | quote }}
{{- if kindIs "map" $value }}
  {{- toYaml $value | nindent 2 }}
{{- else }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* A probe: (dict "probe" .Values.hub.livenessProbe "httpGet" (dict "path" ... "port" "http")). */}}
{{- define "gpuspawner.probe" -}}
{{- merge (omit .probe "enabled") (dict "httpGet" .httpGet) | toYaml }}
{{- end }}
