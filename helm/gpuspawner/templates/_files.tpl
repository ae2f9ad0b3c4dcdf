{{/*
Extra files of the hub or of servers, a map by name: those that the values hold are kept in a ConfigMap NAME-files or a
Secret NAME-secret-files, `from` names an object that exists. Each is mounted as one file.
*/}}

{{/*
What the objects hold, as JSON: {"configMap": {"data": {name: text}, "binaryData": {name: base64}}, "secret": {"data":
{name: base64}}}. The argument is the map.
*/}}
{{- define "gpuspawner.files" -}}
{{- $texts := dict }}
{{- $binary := dict }}
{{- $secret := dict }}
{{- range $name, $file := . }}
{{- if and $file (not $file.from) }}
{{- $text := "" }}
{{- if hasKey $file "stringData" }}
{{- $text = $file.stringData | toString }}
{{- else if regexMatch "[.]json$" $file.mountPath }}
{{- $text = $file.data | toPrettyJson }}
{{- else if regexMatch "[.]ya?ml$" $file.mountPath }}
{{- $text = $file.data | toYaml }}
{{- else if not (hasKey $file "binaryData") }}
{{- fail (printf "extraFiles.%s.data: found the path %s, allowed: one that ends in .json, .yaml or .yml. Write other text as stringData." $name $file.mountPath) }}
{{- end }}
{{- $bytes := $file.binaryData | default "" | nospace }}
{{- if eq true $file.secret }}
{{- $_ := set $secret $name ($bytes | default (b64enc $text)) }}
{{- else if $bytes }}
{{- $_ := set $binary $name $bytes }}
{{- else }}
{{- $_ := set $texts $name $text }}
{{- end }}
{{- end }}
{{- end }}
{{- $configMap := dict }}
{{- with $texts }}
{{- $_ := set $configMap "data" . }}
{{- end }}
{{- with $binary }}
{{- $_ := set $configMap "binaryData" . }}
{{- end }}
{{- dict "configMap" $configMap "secret" (empty $secret | ternary dict (dict "data" $secret)) | toJson }}
{{- end }}

{{- define "gpuspawner.fileMounts" -}}
{{- range $name, $file := . }}
{{- if $file }}
- name: file-{{ $name | sha256sum | trunc 12 }}
  mountPath: {{ $file.mountPath | quote }}
  subPath: file
  readOnly: true
{{- end }}
{{- end }}
{{- end }}

{{/* (dict "files" .Values.hub.extraFiles "name" NAME) */}}
{{- define "gpuspawner.fileVolumes" -}}
{{- range $name, $file := .files }}
{{- if $file }}
{{- $from := $file.from | default dict }}
- name: file-{{ $name | sha256sum | trunc 12 }}
  {{- if or $from.secret (and (not $file.from) (eq true $file.secret)) }}
  secret:
    secretName: {{ $from.secret | default (printf "%s-secret-files" $.name) | quote }}
  {{- else }}
  configMap:
    name: {{ $from.configMap | default (printf "%s-files" $.name) | quote }}
  {{- end }}
    defaultMode: {{ $file.mode | default 288 | int64 }}
    items:
      - key: {{ $from.key | default $name | quote }}
        path: file
{{- end }}
{{- end }}
{{- end }}

{{/* The objects: (dict "context" $ "files" ... "name" NAME "namespace" ... "component" ...). */}}
{{- define "gpuspawner.fileObjects" -}}
{{- $files := include "gpuspawner.files" .files | fromJson }}
{{- range $kind, $suffix := dict "configMap" "files" "secret" "secret-files" }}
{{- with get $files $kind }}
---
apiVersion: v1
kind: {{ eq $kind "secret" | ternary "Secret" "ConfigMap" }}
metadata:
  name: {{ $.name }}-{{ $suffix }}
  namespace: {{ $.namespace | quote }}
  labels:
    {{- include "gpuspawner.labels" (dict "context" $.context "component" $.component) | nindent 4 }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}
