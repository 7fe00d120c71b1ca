-- Per reviewer and month, with the state of the profile.
SELECT monthly.profile_id,
       p.state,
       monthly.reviews AS total_reviews,
       round(monthly.score_sum / monthly.reviews, 4)::numeric(5, 4) AS avg_rating,
       monthly.review_year,
       monthly.review_month
FROM (
    SELECT profile_id,
           extract(year FROM review_time AT TIME ZONE 'UTC')::integer AS review_year,
           extract(month FROM review_time AT TIME ZONE 'UTC')::integer AS review_month,
           sum(review_overall) AS score_sum,
           count(*) AS reviews
    FROM dm_core.review
    GROUP BY 1, 2, 3
) AS monthly
LEFT JOIN dm_core.profile AS p ON p.profile_id = monthly.profile_id
