{{/*
Secrets in values that go into a ConfigMap or a pod's spec, as lines of text: (dict "path" "hub.config" "value" ...
"remedy" "..."). Nothing of the secrets themselves is in them. What counts: a text below a name that ends in secret,
password, token and the like; the pair of name and value of a variable; a URL with a password; a private key.
In hub.config, where names are those of traits, also lists and maps of texts: "deep" true.
*/}}
{{- define "gpuspawner.secretsIn" -}}
{{- $path := .path }}
{{- $remedy := .remedy }}
{{- $deep := .deep }}
{{- if kindIs "map" .value }}
{{- if and (kindIs "string" .value.name) (kindIs "string" .value.value) (include "gpuspawner.isSecretName" .value.name) }}
{{- printf "%s: %s\n" (printf "%s[%s].value" $path .value.name) $remedy }}
{{- end }}
{{- range $key, $value := .value }}
{{- $text := and (kindIs "string" $value) $value }}
{{- if kindIs "map" $value }}
{{- $text = and (kindIs "string" $value.value) $value.value }}
{{- end }}
{{- $texts := and $deep (or (kindIs "slice" $value) (kindIs "map" $value)) $value }}
{{- if and (or $text $texts) (include "gpuspawner.isSecretName" $key) }}
{{- printf "%s.%s: %s\n" $path $key $remedy }}
{{- else }}
{{- include "gpuspawner.secretsIn" (dict "path" (printf "%s.%s" $path $key) "value" $value "remedy" $remedy "deep" $deep) }}
{{- end }}
{{- end }}
{{- else if kindIs "slice" .value }}
{{- range $index, $value := .value }}
{{- include "gpuspawner.secretsIn" (dict "path" (printf "%s[%d]" $path $index) "value" $value "remedy" $remedy "deep" $deep) }}
{{- end }}
{{- else if kindIs "string" .value }}
{{- if regexMatch `://[^/@:\s]*:[^/@\s]+@|-----BEGIN [A-Z ]*PRIVATE KEY` .value }}
{{- printf "%s: %s\n" $path $remedy }}
{{- end }}
{{- end }}
{{- end }}

{{/* "yes" where what bears this name is a secret by it. Names of Secrets are none. */}}
{{- define "gpuspawner.isSecretName" -}}
{{- $ends := regexMatch `(?i)(secret|password|passwd|passphrase|token|credential|(api|private|secret|access|account|signing|crypt)[_-]?key)s?$` . }}
{{- $known := has . (list "consumers" "keys" "password_groups") }}
{{- if and (or $ends $known) (not (has . (list "image_pull_secrets" "imagePullSecrets" "existingSecret"))) }}yes{{ end }}
{{- end }}

{{/* Fails where a secret is said in a place that others can read, with the place it belongs to. */}}
{{- define "gpuspawner.refuseMisplacedSecrets" -}}
{{- $config := "a ConfigMap is no place for secrets; say it below hub.secretConfig, by the same class and name" }}
{{- $section := "a ConfigMap is no place for secrets; say it below hub.secretConfig.GPUSpawner, or have servers read a Secret" }}
{{- $variable := "a pod's spec is no place for secrets; take it from a Secret, with valueFrom and secretKeyRef" }}
{{- $alone := "a ConfigMap is no place for secrets; say secret: true beside it" }}
{{- $found := list }}
{{- range list
  (list "hub.config" .Values.hub.config $config true)
  (list "gpuspawner" .Values.gpuspawner $section false)
  (list "hub.extraEnv" .Values.hub.extraEnv $variable false)
  (list "hub.extraContainers" .Values.hub.extraContainers $variable false)
  (list "hub.initContainers" .Values.hub.initContainers $variable false)
  (list "proxy.extraEnv" .Values.proxy.extraEnv $variable false)
  (list "proxy.extraArgs" .Values.proxy.extraArgs $variable false)
}}
{{- $found = append $found (include "gpuspawner.secretsIn" (dict "path" (index . 0) "value" (index . 1) "remedy" (index . 2) "deep" (index . 3))) }}
{{- end }}
{{- range $path, $files := dict "hub.extraFiles" .Values.hub.extraFiles "singleuser.extraFiles" .Values.singleuser.extraFiles }}
{{- range $name, $file := $files }}
{{- if and $file (not $file.from) (not $file.secret) }}
{{- $text := list $file.stringData $file.data ($file.binaryData | default "" | nospace | b64dec) }}
{{- $said := include "gpuspawner.secretsIn" (dict "path" "" "value" $text "remedy" "") }}
{{- if $said }}
{{- $found = append $found (printf "%s.%s: %s\n" $path $name $alone) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- with join "" $found | trim }}
{{- fail (printf "secrets where others can read them:\n%s" .) }}
{{- end }}
{{- end }}
