{{/*
Names in the gpuspawner section that mean nothing, as lines of text in the words of `gpuspawner check`: the schema cannot
know them, and the hub would not start with them.
*/}}

{{/* A line for each name that is not known: (dict "path" PATH "what" "GPU class" "names" NAMES "known" LIST). */}}
{{- define "gpuspawner.references.unknown" -}}
{{- $names := list }}
{{- if kindIs "string" .names }}
{{- $names = list .names }}
{{- else if kindIs "map" .names }}
{{- $names = keys .names | sortAlpha }}
{{- else if kindIs "slice" .names }}
{{- $names = .names }}
{{- end }}
{{- $hint := empty .known | ternary "none is defined" (printf "known: %s" (.known | sortAlpha | join ", ")) }}
{{- range $names }}
{{- if not (has . $.known) }}
{{- printf "%s: found '%s', which is no %s; %s\n" $.path . $.what $hint }}
{{- end }}
{{- end }}
{{- end }}

{{/* A line for each name that Kubernetes could not take as a label: (dict "path" PATH "entries" MAP). */}}
{{- define "gpuspawner.references.names" -}}
{{- range $name, $_ := .entries }}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?$" $name) }}
{{- printf "%s: found the name '%s', allowed: 1 to 63 characters of a-z, 0-9, '-', '_' and '.', beginning and ending with a letter or digit\n" $.path $name }}
{{- end }}
{{- end }}
{{- end }}

{{/* An entry and its exceptions: (dict "path" PATH "entry" ENTRY "keys" LIST "classes" LIST "profiles" LIST). */}}
{{- define "gpuspawner.references.entry" -}}
{{- $places := dict .path .entry }}
{{- range $index, $exception := .entry.exceptions }}
{{- $_ := set $places (printf "%s.exceptions[%d]" $.path $index) $exception }}
{{- end }}
{{- range $path, $place := $places }}
{{- include "gpuspawner.references.unknown" (dict "path" (printf "%s.profiles" $path) "what" "profile" "names" $place.profiles "known" $.profiles) }}
{{- range $.keys }}
{{- include "gpuspawner.references.unknown" (dict "path" (printf "%s.%s" $path .) "what" "GPU class" "names" (index $place .) "known" $.classes) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "gpuspawner.references" -}}
{{- $section := include "gpuspawner.section" . | fromYaml }}
{{- $classes := keys ($section.gpu_classes | default dict) }}
{{- $profiles := keys ($section.profiles | default dict) }}
{{- $spaces := keys ($section.workspaces | default dict) }}
{{- range list "gpu_classes" "profiles" "workspaces" "cohorts" }}
{{- include "gpuspawner.references.names" (dict "path" (printf "gpuspawner.%s" .) "entries" (index $section .)) }}
{{- end }}
{{- range $name, $profile := $section.profiles }}
{{- include "gpuspawner.references.unknown" (dict "path" (printf "gpuspawner.profiles['%s'].gpu_classes" $name) "what" "GPU class" "names" $profile.gpu_classes "known" $classes) }}
{{- end }}
{{- range $name, $space := $section.workspaces }}
{{- include "gpuspawner.references.entry" (dict "path" (printf "gpuspawner.workspaces['%s']" $name) "entry" $space "keys" (list "quota" "gpu_classes" "borrowing_limit") "classes" $classes "profiles" $profiles) }}
{{- end }}
{{- range $name, $cohort := $section.cohorts }}
{{- $path := printf "gpuspawner.cohorts['%s']" $name }}
{{- include "gpuspawner.references.unknown" (dict "path" (printf "%s.workspaces" $path) "what" "workspace" "names" $cohort.workspaces "known" $spaces) }}
{{- include "gpuspawner.references.entry" (dict "path" $path "entry" $cohort "keys" (list "quota" "reserve") "classes" $classes "profiles" $profiles) }}
{{- end }}
{{- end }}
